"""A coding CLI for tests: does what its arguments say, one after the other.

    say=TEXT err=TEXT       print a line on standard output, on standard error
    echo                    copy standard input to standard output
    env                     print the environment as JSON
    argv                    print the arguments as JSON
    deaf                    ignore SIGINT and SIGTERM
    spawn=SHAPE             leave a process behind; SHAPE is group, deaf, setsid, daemon or holder
    flood=MIB               print so many MiB of numbered lines
    wait                    sleep for ever
    pause                   print "ready", sleep until SIGINT, then print "interrupted"
    die=SIGNAL              kill itself
    exit=N                  end with this status

The pids of all processes are appended to the file named by FAKE_PIDS.
"""

import json
import os
import signal
import sys

NOISE = b"".join(b"%07d a line of a flood that goes on and on and on\n" % number for number in range(20_000))


def note_pid() -> None:
    path = os.environ.get("FAKE_PIDS")
    if path:
        with open(path, "a") as file:  # noqa: PTH123
            file.write(f"{os.getpid()}\n")


def go_deaf() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def sleep_for_ever() -> None:
    while True:
        signal.pause()


def spawn(shape: str) -> None:
    """Fork a process of this shape and return when it stands."""
    told, tell = os.pipe()
    if os.fork() == 0:
        os.close(told)
        if shape == "deaf":
            go_deaf()
        if shape in ("setsid", "daemon", "holder"):
            os.setsid()
        if shape == "daemon" and os.fork() != 0:
            os._exit(0)
        if shape != "holder":
            null = os.open(os.devnull, os.O_RDWR)
            for fd in (0, 1, 2):
                os.dup2(null, fd)
        note_pid()
        os.write(tell, b"x")
        os.close(tell)
        if shape == "holder":  # a stray without any mark, with the output in its hands
            os.execve(sys.executable, [sys.executable, "-I", "-S", "-c", "import signal; signal.pause()"], {})
        sleep_for_ever()
    os.close(tell)
    os.read(told, 1)
    os.close(told)


def flood(mib: int) -> None:
    left = mib << 20
    while left:
        count = os.write(1, NOISE[: min(left, len(NOISE))])
        left -= count


def act(action: str) -> None:  # noqa: C901
    verb, _, value = action.partition("=")
    match verb:
        case "say":
            print(value, flush=True)
        case "err":
            print(value, file=sys.stderr, flush=True)
        case "echo":
            sys.stdout.write(sys.stdin.read())
        case "env":
            print(json.dumps(dict(os.environ)))
        case "argv":
            print(json.dumps(sys.argv[1:]))
        case "deaf":
            go_deaf()
        case "spawn":
            spawn(value)
        case "flood":
            flood(int(value))
        case "wait":
            sleep_for_ever()
        case "pause":
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
            print("ready", flush=True)
            signal.sigwait([signal.SIGINT])
            print("interrupted", flush=True)
        case "die":
            os.kill(os.getpid(), getattr(signal, value))
        case "exit":
            sys.exit(int(value))


if __name__ == "__main__":
    # Python turns SIGINT into an exception, which can come too early or too late for a sleeping process.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    note_pid()
    for argument in sys.argv[1:]:
        act(argument)
