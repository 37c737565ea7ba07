"""Command-line clients, run as their users run them."""

import os
import subprocess

import harness

# As long as a client may take for one command.
LIMIT_S = 240


def installed(name):
    """A client from the suite's Python environment."""
    return os.path.join(harness.CLIENTS, name)


def through(server, **more):
    """An environment in which real host names lead to the server by proxy.

    That is the way of a client whose end point cannot be changed; the requests
    arrive in absolute form.
    """
    proxy = f"http://127.0.0.1:{server.port}"
    return {"http_proxy": proxy, "HTTP_PROXY": proxy, "no_proxy": "", **more}


def run(*command, env=None, cwd=None, check=True, stdin=None):
    """Runs a command and returns it finished, its output as text."""
    clean = {
        k: v
        for k, v in os.environ.items()
        if not k.startswith(("AWS_", "COSTREL_")) and "proxy" not in k.lower()
    }
    done = subprocess.run(
        [str(part) for part in command],
        env={**clean, "LC_ALL": "C.UTF-8", "PYTHONWARNINGS": "ignore", **(env or {})},
        cwd=cwd,
        input=stdin or b"",
        capture_output=True,
        timeout=LIMIT_S,
    )
    done.stdout = done.stdout.decode(errors="replace")
    done.stderr = done.stderr.decode(errors="replace")
    if check:
        assert done.returncode == 0, (
            f"{command} ended with {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        )
    return done
