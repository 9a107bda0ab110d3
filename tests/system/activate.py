"""Starts a program with listening sockets, as systemd does (sd_listen_fds(3)).

``activate.py NAME=ADDRESS … -- COMMAND …`` binds each address (HOST:PORT, a path, or ``udp`` for what is no listener),
puts the sockets where systemd does, says so in the three variables and executes the command. The name ``-`` passes a
socket without a word about it.
"""

import os
import socket
import sys

FIRST = 3


def bound(address: str) -> socket.socket:
    """Return a socket for an address."""
    if address == "udp":
        return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    if "/" in address:
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(address)
    else:
        host, _, port = address.rpartition(":")
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, int(port)))
    sock.listen()
    return sock


def main() -> None:
    """Do what the module's docstring says."""
    end = sys.argv.index("--")
    pairs = [word.partition("=") for word in sys.argv[1:end]]
    high = [os.dup2(bound(address).detach(), 100 + i) for i, (_, _, address) in enumerate(pairs)]
    os.closerange(FIRST, 100)
    for i, fd in enumerate(high):
        os.dup2(fd, FIRST + i)
        os.set_inheritable(FIRST + i, True)
        os.close(fd)
    names = [name for name, _, _ in pairs if name != "-"]
    if names:
        os.environ |= {
            "LISTEN_PID": str(os.getpid()),
            "LISTEN_FDS": str(len(names)),
            "LISTEN_FDNAMES": ":".join(names),
        }
    os.execvp(sys.argv[end + 1], sys.argv[end + 1 :])


if __name__ == "__main__":
    main()
