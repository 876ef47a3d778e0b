#!/bin/sh
# Print the state of a job for Snakemake: success, failed or running. Only PBS knows that it has killed a job.
state=$(qstat -x -f "$1" | awk -F ' = ' '$1 ~ /job_state|Exit_status/ {print $2}' | tr -d '[:space:]')
case "$state" in
    F0) echo success ;;
    F*) echo failed ;;
    *) echo running ;;
esac
