"""Every statement of the paper's theory, judged by the code that trains: see ``README.md`` in this folder."""
