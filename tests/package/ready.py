"""Runs a daemon as systemd would, until it has said READY and turned three times.

    ready.py PROGRAM [ARGUMENT ...]

Then it is told to stop, and must do so within the time. Exit code 0: all of it held.
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile

# Under emulation, beside a compiler.
PATIENCE_S = 120


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "notify")
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        listener.bind(path)
        listener.settimeout(PATIENCE_S)
        environment = dict(os.environ, NOTIFY_SOCKET=path, WATCHDOG_USEC="6000000")
        daemon = subprocess.Popen(sys.argv[1:], env=environment)
        words = []
        try:
            while words.count("WATCHDOG=1") < 3:
                words += listener.recv(4096).decode().split()
        except TimeoutError:
            print(f"it said only {words}", file=sys.stderr)
            daemon.kill()
            return 1
        daemon.send_signal(signal.SIGTERM)
        try:
            code = daemon.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            daemon.kill()
            print("it did not stop", file=sys.stderr)
            return 1
        return 0 if words[0] == "READY=1" and code == 0 else 1


sys.exit(main())
