"""The dashboard: what a run is doing, read from its directory, and the keys that steer it.

    outcome = DashboardApp(run, owner=True).run()

`owner` is True in the process that trains and False where a dashboard was attached to a run of another process. The
outcome is one of

- "detach": the person leaves the screen and the run goes on (also where a run that they do not own is left);
- "ended": the run is over (finished, failed, stopped or crashed: `run.status()` says which) and the person has left.
- None: the screen was closed from outside (`app.exit()` on a lost terminal): treat it as "detach".

Stopping is a command in the run directory like any other, so "stop and save" from here keeps the screen until the run
has saved and ended, and then comes back as "ended".
"""
