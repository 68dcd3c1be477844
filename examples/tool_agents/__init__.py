"""The agents and the server of `main_job.py`."""
