"""`python -m api`."""

from api.serve import main

main()
