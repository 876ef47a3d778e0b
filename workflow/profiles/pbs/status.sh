#!/bin/sh
# Tell Snakemake of a job: success, failed or running. A job that PBS kills ends without telling anyone else.
state=$(qstat -x -f "$1" | awk -F ' = ' '$1 ~ /job_state|Exit_status/ {print $2}' | tr -d '[:space:]')
case "$state" in
    F0) echo success ;;
    F*) echo failed ;;
    *) echo running ;;
esac
