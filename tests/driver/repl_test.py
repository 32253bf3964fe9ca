#!/usr/bin/env python3
"""The REPL through a pseudo-terminal, as a person uses it: prompts, several lines, mistakes, completion, Ctrl-C, history."""
import os
import pty
import re
import select
import signal
import sys
import tempfile
import time

WEFT = os.environ["WEFT"]
failures = []


class Terminal:
    def __init__(self, home):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ.update(HOME=home, TERM="dumb", XDG_CACHE_HOME=home + "/cache")
            os.environ.pop("XDG_STATE_HOME", None)
            os.execv(WEFT, [WEFT, "repl"])
        self.text = ""

    def wait_for(self, pattern, seconds=60):
        """Reads until the pattern appears; returns what came up to its end."""
        end = time.time() + seconds
        while time.time() < end:
            found = re.search(pattern, self.text)
            if found:
                seen, self.text = self.text[:found.end()], self.text[found.end():]
                return seen
            if select.select([self.fd], [], [], 0.2)[0]:
                try:
                    data = os.read(self.fd, 4096).decode("utf-8", "replace")
                except OSError:
                    break
                self.text += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", data).replace("\r", "")
        failures.append(f"waited for {pattern!r}, saw {self.text!r}")
        return ""

    def type(self, text):
        os.write(self.fd, text.encode())

    def line(self, text, pattern):
        self.type(text + "\n")
        seen = self.wait_for(pattern)
        self.wait_for(r"weft> ")
        return seen

    def close(self):
        # A Ctrl-D that is typed between two lines, when the terminal is not the editor's, reaches it as a zero byte of
        # text. So it is typed again, behind a Ctrl-U that empties the line.
        end, again = time.time() + 60, 0
        while time.time() < end:
            if time.time() > again:
                self.type("\x15\x04" if again else "\x04")
                again = time.time() + 1
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
            if select.select([self.fd], [], [], 0.1)[0]:
                try:
                    os.read(self.fd, 4096)
                except OSError:
                    pass
        failures.append("Ctrl-D does not end the session")
        os.kill(self.pid, signal.SIGKILL)
        return None


def main():
    with tempfile.TemporaryDirectory() as home:
        t = Terminal(home)
        t.wait_for("weft> ")
        t.line("1 + 2", r"\n3\n")
        t.line("x = full([2, 3], 2.0)", r"\n")
        t.line("sum(x)", r"f32\[\] = 12")
        t.line("x[0] * 3.0", r"f32\[3\] = \[6, 6, 6\]")
        # A definition over several lines, and its redefinition.
        t.type("fn twice(a: f32[N]) -> f32[N] {\n")
        t.wait_for(r"\.\.\. ")
        t.type("  return a * 2.0\n")
        t.wait_for(r"\.\.\. ")
        t.line("}", r"\n")
        t.line("twice(x[1])", r"\[4, 4, 4\]")
        t.line("fn twice(a: f32[N]) -> f32[N] = a * 20.0", r"\n")
        t.line("twice(x[1])", r"\[40, 40, 40\]")
        # Mistakes are told and the session goes on.
        t.line("sum(y)", r"error\[E0201\]: unknown name `y`")
        t.line("x @ x", r"error\[E03")
        t.line(":tipe x", r"did you mean :type")
        t.line(":type x @ transpose(x)", r"f32\[2,2\]")
        t.line(":ir exp(x)", r"exp\(%0\) : f32\[2,3\]")
        t.line(":plan exp(x)", r"peak")
        t.line(":asm exp(x)", r"vector|ymm|xmm|fmla|weft_")
        t.line(":time exp(x)", r"compiled in .* ran in")
        t.line(":help", r":quit")
        t.line(":help nn.Linear", r"over the last axis")
        t.line(":help Liner", r"did you mean nn.Linear\?")
        t.line(":load /nonexistent.weft", r"nonexistent")
        t.line("grad(sum(x^2), x)", r"\[\[4, 4, 4\], \[4, 4, 4\]\]")
        # Weights are first values, then what training makes of them; what depends on a definition is made anew.
        t.line("use nn", r"\n")
        t.type("model M {\n  let a = nn.Linear(2)\n  train step(x: f32[B, 3]) {\n    loss = mean(a(x)^2)\n"
               "    minimize loss using nn.SGD(lr: 0.1)\n    report loss\n  }\n}\n")
        t.wait_for(r"weft> $")
        t.line("m = M()", r"\n")
        first = float(re.search(r"loss: f32\[\] = (\S+)", t.line("m.step(x)", r"loss: f32\[\] = \S+\n")).group(1))
        second = float(re.search(r"loss: f32\[\] = (\S+)", t.line("m.step(x)", r"loss: f32\[\] = \S+\n")).group(1))
        t.line("loop i in 0..50 { m.step(x) }", r"loss")
        last = float(re.search(r"loss: f32\[\] = (\S+)", t.line("m.step(x)", r"loss: f32\[\] = \S+\n")).group(1))
        if not first > second > last or last > 0.01 * first:
            failures.append(f"training in the REPL: {first} {second} {last}")
        t.line(":weights", r"m\.a\.weight: f32\[2,3\]\nm\.a\.bias: f32\[2\]\nrun\.step: i32\[\]")
        t.type("model M {\n  let a = nn.Linear(2)\n  fn f(x: f32[B, 3]) = 100.0 + a(x)\n}\n")
        t.wait_for(r"made anew: `m`\n")
        t.wait_for("weft> ")
        t.line("sum(m.f(x)) > 350.0", r"bool\[\] = true")
        t.line("(x: x, y: 2.0 * x).y[0]", r"\[4, 4, 4\]")
        t.line("p = (a: x, b: 2.0 * x)", r"\n")
        t.line("p.a[0]", r"\[2, 2, 2\]")
        t.line(":names", r"x: f32\[2,3\]\np\.a: f32\[2,3\]")
        t.line(f":save {home}/x.npy p.b", r"\n")
        t.line(f":read z {home}/x.npy", r"z: f32\[2,3\]")
        t.line("sum(z)", r"f32\[\] = 24")
        t.line(":show zeros([2, 4])", "\u2580{4}")
        t.line(":show x[0]", r"draws f32")
        t.line(":t x", r"f32\[2,3\]")
        t.line("help", r":weights")
        t.line(":seed 7", r"\n")
        t.line(":seed x", r"whole number")
        t.line("M.a", r"help: `M\(\.\.\.\)` makes an instance")
        t.line(":help sum", r"sum\(x, axis\?, keep\?\)")
        t.line("a = 3; a * 2; [a; 4]", r"\n6\n(?s:.*)error")
        t.line(":help loop", r"a word of the language")
        t.line("f(x) = x * 2", r"help: a function is defined with `fn f")
        # Two empty lines end what cannot be finished.
        t.line("sum((x\n\n", r"error\[E0103\]")
        # Completion of a command, of what :type looks at, of an argument's name.
        t.type(":we\t\n")
        t.wait_for(r"m\.a\.bias")
        t.wait_for("weft> ")
        t.type(":type softm\t(x)\n")
        t.wait_for(r"f32\[2,3\]")
        t.wait_for("weft> ")
        t.type("sum(x, ax\t0)\n")
        t.wait_for(r"f32\[3\] = \[4, 4, 4\]")
        t.wait_for("weft> ")
        # Completion: `softm` is finished to softmax.
        t.type("softm\t(x)[0, 0]\n")
        t.wait_for(r"f32\[\] = 0\.333333")
        t.wait_for("weft> ")
        # Ctrl-C stops a computation that would take minutes; the variables are still there.
        t.type("fn slow(n: int) -> f32[] {\n  a = ones([600, 600])\n  loop i in 0..n { a = 0.001 * (a @ a) }\n  return sum(a)\n}\n")
        t.wait_for("weft> ")
        begun = time.time()
        t.type("slow(1000000)\n")
        time.sleep(1.5)
        t.type("\x03")
        t.wait_for("interrupted", 60)
        t.wait_for("weft> ")
        if time.time() - begun > 50:
            failures.append("Ctrl-C took too long")
        t.line("sum(x)", r"f32\[\] = 12")
        if t.close() != 0:
            failures.append("the session ends with status 0")
        # The history is kept.
        again = Terminal(home)
        again.wait_for("weft> ")
        again.type("\x10")
        again.wait_for(r"sum\(x\)", 10)
        again.type("\x03\n")
        again.close()
    for f in failures:
        print("FAILED:", f)
    sys.exit(bool(failures))


main()
