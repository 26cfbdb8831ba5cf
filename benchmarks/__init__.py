"""What is timed, on which machine, against whom. `make bench` and `make gpu` write the tables in results/."""
