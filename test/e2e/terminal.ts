// A program on a terminal, with a user who waits, types and changes the size of the window. Needs python3.
import { execute, TIME_LIMIT } from "./support";

/** Seconds that something may take. */
const PATIENCE = TIME_LIMIT / 3000;

/** Runs python3 with a terminal: what is typed goes in, what is shown is returned with the exit status. */
const DRIVER = `
import os, pty, re, select, struct, fcntl, termios, signal, sys, time, json
steps = json.loads(sys.argv[1]); argv = sys.argv[2:]
pid, fd = pty.fork()
if pid == 0:
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack('HHHH', 24, 80, 0, 0))
    os.execvp(argv[0], argv)
shown = b''
def pump(limit, wanted=None):
    global shown
    end = time.time() + limit
    while time.time() < end:
        if wanted is not None and re.search(wanted, shown): return True
        r, _, _ = select.select([fd], [], [], 0.05)
        if r:
            try: data = os.read(fd, 65536)
            except OSError: return False
            if not data: return False
            shown += data
    return wanted is None
def raw():
    end = time.time() + ${PATIENCE}
    while time.time() < end:
        if not termios.tcgetattr(fd)[3] & termios.ICANON: return True
        pump(0.05)
    return False
for step in steps:
    if 'wait' in step and not pump(${PATIENCE}, re.escape(step['wait'].encode())): break
    if 'line' in step and not pump(${PATIENCE}, re.escape(step['line'].encode()) + b'\\r*\\n'): break
    if 'raw' in step and not raw(): break
    if 'type' in step: os.write(fd, step['type'].encode())
    if 'size' in step: fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack('HHHH', step['size'][1], step['size'][0], 0, 0))
if pump(${PATIENCE}): os.kill(pid, signal.SIGKILL); os.close(fd)
status = os.waitpid(pid, 0)[1]
print(json.dumps({'shown': shown.decode('utf8', 'replace'), 'status': os.waitstatus_to_exitcode(status)}))
`;

/** What the user does, one after the other: wait for a text or the end of a line on the screen, or until the terminal is raw, type, change the size. */
export interface Step {
  wait?: string;
  /** Like `wait`, and the end of the line is there too: what is typed next is echoed behind it, not in the line. */
  line?: string;
  raw?: true;
  type?: string;
  size?: [number, number];
}

export function onTerminal(steps: Step[], argv: string[]): { shown: string; status: number } {
  const result = execute("python3", ["-c", DRIVER, JSON.stringify(steps), ...argv]);
  return JSON.parse(result.stdout);
}
