"""Choose a method's parameters: the point of a grid with the highest mean PSNR over validation images.

example:
  python scripts/choose.py tuning/tv/0.1.json tuning/tv/0.2.json --output tv.json
"""

from pathlib import Path

from _cli import as_user_errors, parser, run_job
from pydantic import TypeAdapter, ValidationError

from lpn.errors import UserError
from lpn.files import write_json
from lpn.grid import Score, choose
from lpn.settings import sentences


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("files", nargs="+", type=Path, help="JSON files of scripts/tune.py")
    arguments.add_output("--output", help="JSON file of the chosen parameters and of all scores")
    args = arguments.parse_args()
    scores = []
    for path in args.files:
        try:
            scores += TypeAdapter(list[Score]).validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            fault = sentences(error)[0] if isinstance(error, ValidationError) else f"{error}."
            raise UserError(f"{path} can't be read as scores of scripts/tune.py: {fault}") from error
    with as_user_errors():
        chosen = choose(scores)
    if chosen.at_edge:
        print(f"note: the best value of {', '.join(chosen.at_edge)} is at an end of the grid; a wider one may be better.")
    write_json(args.output, chosen.model_dump())


if __name__ == "__main__":
    run_job(main)
