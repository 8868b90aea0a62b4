"""``python -m lwsam_ref.cli`` is the command ``lwsam``."""

from lwsam_ref.cli.main import main

if __name__ == "__main__":
    main()
