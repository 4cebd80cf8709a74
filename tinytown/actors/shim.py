"""The process between the runtime and a coding CLI.

    main(CONTROL, STATUS)        two descriptors; started by `shims.py`

What must be true: when the shim has ended by itself, nothing that the CLI started lives on, whatever it did to get
away; and when the runtime dies, even by SIGKILL, the shim notices at once and ends the tree. So it

* is the sub-reaper of everything below it (Linux): whatever loses its parent becomes a child of the shim. A sweep
  kills children of the shim, and only these, until the kernel says that there are none. A process that nobody but
  the shim can reap keeps its pid until then, so no signal ever hits a stranger;
* watches the control socket, whose other end only the runtime holds: an order of what to run, with the CLI's input
  and the log as descriptors, then single bytes, the steps of the ladder (`i` interrupt, `t` terminate, `k` kill); its
  end means that the runtime is gone. The order may be long in coming;
* carries both outputs of the CLI into the log, bounded, so that no slow reader blocks it and no disk fills;
* tells on the status pipe, in frames of a line `kind length` and a body: `B` it has the order and begins, `S`
  started, `F` did not start, `O` output (when wanted), `A` the end of standard output, `R` how it ended. Whoever has
  not seen `B` when the shim ended may give the order to another one.

It must start fast, so it imports next to nothing and never anything of ours. On macOS there is no sub-reaper:
what left the process group of the CLI escapes it.
"""

# What `signal` and `socket` wrap. Their enumerations would take a third of the time that a shim needs to start.
import _signal as signal  # type: ignore[import-not-found]
import _socket
import marshal
import os
import resource
import select
import sys
import time

CHUNK = 1 << 16
ANSWER_BYTES = 256 << 10
LIVE_BACKLOG_BYTES = 1 << 20
"""Output a slow follower has not read yet; what comes beyond it reaches the log only."""
SWEEP_S = 3.0
"""A process that SIGKILL has not ended by then hangs in the kernel, or is not ours to kill (sudo)."""
RELIST_MS = 20
"""A child that was handed to us by its parent's death rings no bell; while sweeping we look again this often."""
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
LADDER = {ord("i"): signal.SIGINT, ord("t"): signal.SIGTERM, ord("k"): signal.SIGKILL}
LINUX = sys.platform == "linux"

if LINUX:
    import ctypes

    _libc = ctypes.CDLL(None)


def prctl(option: int, value: int) -> None:
    """One prctl call; does nothing where the system has none."""
    if LINUX:
        _libc.prctl(option, value, 0, 0, 0)


class Log:
    """The round's log: everything up to `cap` bytes, beyond it the first and the last eighth of `cap`.

    The file may grow to `cap` and is then cut down, so that a flood costs one copy of an eighth for every six
    eighths written, and the disk never holds more than `cap` and one chunk.
    """

    def __init__(self, fd: int, cap: int) -> None:
        self.fd = fd
        self.cap = cap
        self.keep = cap // 8
        self.start = os.fstat(fd).st_size
        self.held = 0
        self.written = 0
        self.lost = 0
        self.left_out = 0

    def write(self, chunk: bytes) -> None:
        """Append; what a full disk refuses is counted as lost, since the CLI must not suffer for it."""
        rest = memoryview(chunk)
        try:
            while rest:
                count = os.write(self.fd, rest)
                self.written += count
                self.held += count
                rest = rest[count:]
        except OSError:
            self.lost += len(rest)
        if self.held > self.cap:
            self.shrink()

    def shrink(self) -> None:
        """Keep the first and the last eighth, with a line between that says how much is missing."""
        head_end = self.start + self.keep
        try:
            offset = max(head_end, os.fstat(self.fd).st_size - self.keep)
            tail = b""
            while part := os.pread(self.fd, self.keep, offset + len(tail)):
                tail += part
            self.left_out = self.written - self.keep - len(tail)
            os.ftruncate(self.fd, head_end)
            os.write(self.fd, b"\n[%d bytes left out here]\n" % self.left_out)
            os.write(self.fd, tail)
            self.held = os.fstat(self.fd).st_size - self.start
        except OSError:
            self.held = 2 * self.keep  # a full or broken disk: try again later, the CLI goes on

    def close(self) -> None:
        """Bring a log that went over its cap to its final size."""
        if self.left_out:
            self.shrink()
        os.close(self.fd)


class Cli:
    """The started CLI: its pid, which stays reserved until `reap` has returned it, and its two outputs."""

    def __init__(self, order: dict[str, object]) -> None:
        self.out, out_end = os.pipe()
        self.err, err_end = os.pipe()
        told, tell = os.pipe()
        shim = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            _become(order, shim, out_end, err_end, tell)
        for fd in (out_end, err_end, tell):
            os.close(fd)
        try:  # noqa: SIM105  (contextlib costs start-up time)
            os.setpgid(self.pid, self.pid)
        except OSError:
            pass  # it did so itself and has already become another program, or is gone
        self.failure = os.read(told, 64).decode()
        os.close(told)
        self.start_time = _start_time(self.pid)
        for fd in (self.out, self.err):
            os.set_blocking(fd, False)
        self.exited = False
        self.status: int | None = None

    def signal(self, number: int) -> None:
        """Signal its process group. A group that was stopped is woken, so that it can obey."""
        for each in (number, signal.SIGCONT):
            try:
                os.killpg(self.pid, each)
            except OSError:
                return  # nobody is left in it

    def look(self) -> None:
        """Reap strays that ended by themselves, and note whether the CLI has ended; it is left unreaped."""
        if not hasattr(os, "waitid"):
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.exited, self.status = True, status
            return
        while not self.exited:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if ended is None:
                return
            if ended.si_pid == self.pid:
                self.exited = True
            else:
                os.waitpid(ended.si_pid, 0)


def _become(order: dict[str, object], shim: int, out_end: int, err_end: int, tell: int) -> None:
    """In the forked child: turn into the CLI, or tell why not. Never returns."""
    step = "cwd"
    try:
        os.setpgid(0, 0)
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != shim:
            os._exit(127)
        for number in range(1, signal.NSIG):
            if signal.getsignal(number) not in (signal.SIG_DFL, None):
                signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        _yield_to_others()
        os.dup2(out_end, 1)
        os.dup2(err_end, 2)
        os.chdir(str(order["cwd"]))
        step = "exec"
        os.execve(str(order["program"]), order["argv"], order["env"])  # type: ignore[arg-type]  # noqa: S606
    except BaseException as error:
        os.write(tell, f"{step} {getattr(error, 'errno', 0)}".encode())
    finally:
        os._exit(127)


def _yield_to_others() -> None:
    """Under memory pressure the CLI goes first, not the runtime or the store; and it gets the CPU after them."""
    try:
        os.nice(5)
        with open("/proc/self/oom_score_adj", "r+") as file:  # noqa: PTH123  (pathlib costs start-up time)
            if int(file.read()) < 500:
                file.seek(0)
                file.write("500")
    except (OSError, ValueError):
        pass


def _start_time(pid: int) -> int:
    """Clock ticks between the boot and the start of a process; 0 where there is no /proc."""
    try:
        with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123
            return int(file.read().rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return 0


def _children() -> list[int]:
    """The children of this process, zombies too. May miss some while they come and go: ask again."""
    me = os.getpid()
    try:
        with open(f"/proc/self/task/{me}/children") as file:  # noqa: PTH123
            return [int(pid) for pid in file.read().split()]
    except OSError:
        pass  # a kernel without CONFIG_PROC_CHILDREN
    found = []
    try:
        for name in os.listdir("/proc"):  # noqa: PTH208
            if name.isdigit():
                try:
                    with open(f"/proc/{name}/stat") as file:  # noqa: PTH123
                        if int(file.read().rpartition(")")[2].split()[1]) == me:
                            found.append(int(name))
                except (OSError, ValueError, IndexError):
                    continue
    except OSError:
        pass
    return found


class Shim:
    """One run: the loop that carries bytes both ways until the CLI has ended, and the sweep after it."""

    def __init__(self, control: int, status: int, log: Log, bell: int, order: dict[str, object]) -> None:
        self.control = control
        self.status = status
        self.log = log
        self.bell = bell
        self.live = bool(order["live"])
        self.outbox = bytearray()
        self.answer = bytearray()
        self.poll = select.poll()
        self.blocked = False
        self.runtime_gone = False
        os.set_blocking(status, False)
        self.send("B", b"")
        self.cli = Cli(order)
        self.outputs = [self.cli.out, self.cli.err]

    def send(self, kind: str, body: bytes) -> None:
        """Put a frame into the outbox and write what the pipe takes."""
        self.outbox += b"%s %d\n" % (kind.encode(), len(body)) + body
        self.flush()

    def flush(self) -> None:
        """Write the outbox as far as the pipe takes it, and watch for room if something is left."""
        try:
            while self.outbox:
                del self.outbox[: os.write(self.status, self.outbox)]
        except BlockingIOError:
            pass
        except OSError:  # the runtime has gone; the control pipe says so too
            self.outbox.clear()
            self.live = False
        if bool(self.outbox) != self.blocked:
            self.blocked = not self.blocked
            if self.blocked:
                self.poll.register(self.status, select.POLLOUT)
            else:
                self.poll.unregister(self.status)

    def carry(self, fd: int) -> bool:
        """Take one chunk from an output of the CLI; False when there is none now."""
        try:
            chunk = os.read(fd, CHUNK)
        except BlockingIOError:
            return False
        if not chunk:
            self.poll.unregister(fd)
            self.outputs.remove(fd)
            return False
        self.log.write(chunk)
        if fd == self.cli.out:
            self.answer += chunk
            if len(self.answer) > 2 * ANSWER_BYTES:
                del self.answer[:-ANSWER_BYTES]
        if self.live and len(self.outbox) < LIVE_BACKLOG_BYTES:
            self.send("O", chunk)
        return True

    def obey(self) -> None:
        """Do what the control pipe says."""
        steps = os.read(self.control, 64)
        self.runtime_gone = not steps
        for step in steps or b"k":
            self.cli.signal(LADDER[step])

    def hear(self) -> None:
        """A signal came: a child has ended, or a person wants the shim to end, which means the tree."""
        for number in os.read(self.bell, 64):
            if number != signal.SIGCHLD:
                self.cli.signal(signal.SIGKILL)
        self.cli.look()

    def follow(self) -> None:
        """Until the CLI has ended or the runtime is gone."""
        for fd in (self.control, self.bell, *self.outputs):
            self.poll.register(fd, select.POLLIN)
        self.cli.look()
        while not (self.cli.exited or self.runtime_gone):
            for fd, _ in self.poll.poll():
                if fd == self.control:
                    self.obey()
                elif fd == self.bell:
                    self.hear()
                elif fd == self.status:
                    self.flush()
                else:
                    self.carry(fd)

    def sweep(self) -> int:
        """Kill everything below the shim; returns how many could not be killed."""
        self.cli.signal(signal.SIGKILL)
        bell = select.poll()
        bell.register(self.bell, select.POLLIN)
        deadline = time.monotonic() + SWEEP_S
        while True:
            children = _children()
            for pid in children:
                try:
                    os.kill(pid, signal.SIGKILL)
                except OSError:
                    continue
            try:
                while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                    if ended[0] == self.cli.pid:
                        self.cli.status = ended[1]
            except ChildProcessError:
                return 0
            if time.monotonic() > deadline:
                return len(children)
            if bell.poll(RELIST_MS):
                os.read(self.bell, 64)

    def finish(self) -> None:
        """Sweep, take what is left in the pipes, without waiting for whoever may still hold them, and report."""
        survivors = self.sweep()
        for fd in tuple(self.outputs):
            for _ in range(32):  # twice what a pipe holds at most; a survivor may write for ever
                if not self.carry(fd):
                    break
        self.log.close()
        status = self.cli.status
        code = os.waitstatus_to_exitcode(status) if status is not None else 0
        dropped = self.log.lost + self.log.left_out
        kept = self.log.written - self.log.left_out
        os.set_blocking(self.status, True)
        self.send("A", bytes(self.answer[-ANSWER_BYTES:]))
        self.send("R", b'{"exit":%d,"kept":%d,"dropped":%d,"survivors":%d}' % (code, kept, dropped, survivors))

    def run(self) -> None:
        """The whole life."""
        if self.cli.failure:
            step, number = self.cli.failure.split()
            self.send("F", b'{"step":"%s","errno":%d}' % (step.encode(), int(number)))
            return
        self.send("S", b'{"pid":%d,"start_time":%d}' % (self.cli.pid, self.cli.start_time))
        self.follow()
        self.finish()


def _receive_order(control: int) -> tuple[dict[str, object], int, int]:
    """Wait for what to run, the descriptor of its input and that of the log."""
    channel = _socket.socket(fileno=control)
    size, sent, _, _ = channel.recvmsg(4, _socket.CMSG_SPACE(8))
    channel.detach()
    size += _read_exactly(control, 4 - len(size))
    order = marshal.loads(_read_exactly(control, int.from_bytes(size, "big")))  # noqa: S302
    ((_, _, rights),) = sent
    return order, int.from_bytes(rights[:4], sys.byteorder), int.from_bytes(rights[4:], sys.byteorder)


def _read_exactly(fd: int, count: int) -> bytes:
    parts = bytearray()
    while len(parts) < count:
        part = os.read(fd, count - len(parts))
        if not part:
            os._exit(0)  # the runtime has gone before it said what to do
        parts += part
    return bytes(parts)


def main(control: int, status: int) -> None:
    """Wait for the order, carry it out, end without the interpreter's slow goodbye."""
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    order, stdin, log = _receive_order(control)
    for fd in (control, status, stdin, log):
        os.set_inheritable(fd, False)  # noqa: FBT003
    os.dup2(stdin, 0)
    os.dup2(log, 2)
    bell, ring = os.pipe()
    os.set_blocking(ring, False)
    signal.set_wakeup_fd(ring, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    Shim(control, status, Log(log, int(order["cap"])), bell, order).run()  # type: ignore[call-overload]
    os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
