#!/usr/bin/env python3
"""The language server as an editor drives it: its life, answers at places of a text, texts that are being typed, wrong messages."""
import json
import os
import subprocess
import sys
import tempfile
import time

WEFT = os.environ["WEFT"]
failures = []


def check(truth, what, seen=None):
    if not truth:
        failures.append(what if seen is None else f"{what}: {seen!r}"[:600])
        print("FAILED:", failures[-1], flush=True)


class Server:
    def __init__(self, cache, *options):
        self.process = subprocess.Popen([WEFT, "lsp", "--cache", cache, *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.last_id = 0
        self.notes = []

    def send_bytes(self, data):
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def send(self, message):
        body = json.dumps(message).encode()
        self.send_bytes(b"Content-Length: %d\r\n\r\n" % len(body) + body)

    def read(self):
        length = None
        while True:
            line = self.process.stdout.readline()
            if not line:
                raise EOFError("the server is gone")
            if not line.strip():
                break
            name, value = line.split(b":")
            if name.lower() == b"content-length":
                length = int(value)
        return json.loads(self.process.stdout.read(length))

    def answer(self, number):
        while True:
            message = self.read()
            if "method" not in message and message.get("id") == number:
                return message
            self.notes.append(message)

    def ask(self, method, params=None):
        self.last_id += 1
        self.send({"jsonrpc": "2.0", "id": self.last_id, "method": method, "params": params or {}})
        return self.answer(self.last_id)

    def tell(self, method, params=None):
        self.send({"jsonrpc": "2.0", "method": method, "params": params or {}})

    def wait_for(self, method, uri=None):
        def fits(message):
            return message.get("method") == method and (not uri or message["params"]["uri"] == uri)
        for i, message in enumerate(self.notes):
            if fits(message):
                return self.notes.pop(i)
        while True:
            message = self.read()
            if fits(message):
                return message
            self.notes.append(message)

    def close(self):
        self.ask("shutdown")
        self.tell("exit")
        return self.process.wait(timeout=60)


class Document:
    """A text open in the server; places are given by a piece of text with the cursor as ^ in it."""

    def __init__(self, server, uri, text, opens=True):
        self.server, self.uri, self.text, self.version = server, uri, text, 1
        if opens:
            server.tell("textDocument/didOpen", {"textDocument": {"uri": uri, "languageId": "weft", "version": 1, "text": text}})

    def position(self, marked):
        before, after = marked.split("^")
        at = self.text.index(before + after) + len(before)
        line_begin = self.text.rfind("\n", 0, at) + 1
        units = len(self.text[line_begin:at].encode("utf-16-le")) // 2
        return {"line": self.text.count("\n", 0, at), "character": units}

    def ask(self, method, marked=None, **params):
        params["textDocument"] = {"uri": self.uri}
        if marked:
            params["position"] = self.position(marked)
        answer = self.server.ask("textDocument/" + method, params)
        return answer.get("result", answer.get("error"))

    def hover(self, marked):
        found = self.ask("hover", marked)
        return found["contents"]["value"] if found else ""

    def labels(self, marked):
        return [item["label"] for item in self.ask("completion", marked)["items"]]

    def set(self, text):
        """The whole text anew."""
        self.version += 1
        self.text = text
        self.server.tell("textDocument/didChange", {"textDocument": {"uri": self.uri, "version": self.version},
                                                    "contentChanges": [{"text": text}]})

    def type(self, marked, inserted, removed=0):
        """An incremental change at a place."""
        begin = self.position(marked)
        end = dict(begin, character=begin["character"] + removed)
        before, after = marked.split("^")
        at = self.text.index(before + after) + len(before)
        self.text = self.text[:at] + inserted + self.text[at + removed:]
        self.version += 1
        self.server.tell("textDocument/didChange", {
            "textDocument": {"uri": self.uri, "version": self.version},
            "contentChanges": [{"range": {"start": begin, "end": end}, "text": inserted}]})

    def diagnostics(self):
        """Those of the text as it is now."""
        while True:
            params = self.server.wait_for("textDocument/publishDiagnostics", self.uri)["params"]
            if params.get("version") == self.version:
                return params["diagnostics"]


def apply_edits(text, edits):
    lines = text.split("\n")

    def offset(position):
        line = lines[position["line"]]
        piece = line.encode("utf-16-le")[:2 * position["character"]].decode("utf-16-le")
        return sum(len(other) + 1 for other in lines[:position["line"]]) + len(piece)

    for edit in sorted(edits, key=lambda e: -offset(e["range"]["start"])):
        text = text[:offset(edit["range"]["start"])] + edit["newText"] + text[offset(edit["range"]["end"]):]
    return text


MODEL = """/// A small one. \U0001F600 in front of names moves the columns of UTF-16.
use nn

/// Twice as much.
fn twice(x: f32[B, D], times: int = 2) -> f32[B, D] = x * f32(times)

model VAE(hidden: int = 40, latent: int = 5) {
  let encoder = [nn.Linear(hidden), relu]
  let mu = nn.Linear(latent)
  let decoder = nn.Linear(784)

  fn encode(image: f32[B, 1, 28, 28]) -> (mean: f32[B, latent], wide: f32[B, hidden]) {
    /* \U0001F600 */ h = image |> flatten |> encoder
    return (mean: mu(h), wide: h)
  }
  train step(image: f32[B, 1, 28, 28]) {
    q = encode(image)
    z = q.mean
        |> twice(times: 3)
        |> decoder
    loss = mean((z - flatten(image))^2)
    minimize loss using nn.Adam(lr: 1e-3)
    report loss
  }
}
""".replace("/* \U0001F600 */ ", "")


def life(cache):
    s = Server(cache)
    check(s.ask("textDocument/hover")["error"]["code"] == -32002, "a request before initialize")
    capabilities = s.ask("initialize", {"capabilities": {}, "processId": None, "rootUri": None})["result"]["capabilities"]
    check(capabilities["hoverProvider"] and capabilities["positionEncoding"] == "utf-16", "capabilities", capabilities)
    check(s.ask("initialize")["error"]["code"] == -32600, "initialize twice")
    s.tell("initialized")
    s.tell("$/unknown", {"x": 1})
    check(s.ask("no/method")["error"]["code"] == -32601, "an unknown method")
    check(s.ask("textDocument/hover", {"textDocument": {"uri": "file:///not/open.weft"}})["error"]["code"] == -32602, "a text that is not open")
    check(s.ask("textDocument/hover", {"textDocument": 7})["error"]["code"] == -32602, "params that make no sense")
    check("error" in s.ask("textDocument/didSave"), "a notification as a request")
    for bad in (b"{", b"[1, 2", b"\xff\xfe", b"nul"):
        s.send_bytes(b"Content-Length: %d\r\n\r\n" % len(bad) + bad)
        check(s.answer(None)["error"]["code"] == -32700, "no JSON", bad)
    s.send_bytes(b"Content-Type: x\r\n\r\n")
    check(s.answer(None)["error"]["code"] == -32700, "a header without a length")
    for bad in ([], 3, {"id": 9}, {"jsonrpc": "2.0", "method": 5, "id": 10}):
        s.send(bad)
        s.notes.append(s.read())
    check(s.notes[-1]["error"]["code"] == -32600, "no method", s.notes[-1])
    check(s.ask("shutdown")["result"] is None, "shutdown")
    check(s.ask("textDocument/hover")["error"]["code"] == -32600, "a request behind shutdown")
    s.tell("exit")
    check(s.process.wait(60) == 0, "exit behind shutdown is 0")
    s = Server(cache, "--stdio")
    s.tell("exit")
    check(s.process.wait(60) == 1, "exit without shutdown is 1")
    s = Server(cache)
    s.process.stdin.close()
    check(s.process.wait(60) == 1, "an editor that is gone")
    s = Server(cache)
    s.send_bytes(b"Content-Length: 99999999999\r\n\r\n")
    check(s.process.wait(60) == 1, "a message of 100 GB")


def start(cache, *options):
    s = Server(cache, *options)
    s.ask("initialize", {"capabilities": {}})
    s.tell("initialized")
    return s


def places(cache):
    s = start(cache)
    d = Document(s, "file:///tmp/vae%20small.weft", MODEL)
    check(d.diagnostics() == [], "a good text has no diagnostics")
    # hover
    for place, wanted in [("h = im^age |>", "f32[B,1,28,28]"), ("image |^> flatten", "f32[B,784]"), ("  ^h = image", "f32[B,40]"),
                          ("let m^u =", "mu.weight: f32[5,40]"), ("nn.Lin^ear(hidden)", "module Linear(out: int"),
                          ("nn.Lin^ear(hidden)", "last axis"), ("|> flat^ten", "All axes"), ("loss = me^an(", "mean(x, axis?, keep?)"),
                          ("z ^- flatten", "f32[B,784]"), ("q.me^an", "f32[B,5]"), ("tw^ice(times", "Twice as much"),
                          ("hid^den: int", "40"), ("minim^ize loss", "takes the gradient"), ("tr^ain step", "one step of training"), ("use n^n", "nn.weft: "), ("times: int = 2) -> f32[^B", "size"),
                          ("twice(tim^es: 3", "times: int = 2")]:
        check(wanted in d.hover(place), f"hover at {place}", d.hover(place))
    check(d.ask("hover", "A sm^all") is None, "no hover in a comment")
    # definition
    own = d.ask("definition", "|> deco^der")
    check(own["uri"] == d.uri and own["range"]["start"] == d.position("let ^decoder"), "definition in the text", own)
    check(d.ask("definition", "twice(ti^mes")["range"]["start"] == d.position("D], ^times: int"), "definition of an argument")
    there = d.ask("definition", "nn.Line^ar(hidden)")
    path = there["uri"][len("file://"):]
    line = open(path).read().split("\n")[there["range"]["start"]["line"]]
    check("module Linear" in line, "definition in the library", (there, line))
    check(d.ask("definition", "|> flat^ten")["uri"].endswith("/prelude.weft"), "definition in the prelude")
    check(d.ask("definition", "loss = mea^n") is None, "a builtin is defined nowhere")
    # references and renaming
    check(len(d.ask("references", "let enc^oder", context={"includeDeclaration": True})) == 2, "references")
    check(len(d.ask("references", "let enc^oder", context={"includeDeclaration": False})) == 1, "references without the declaration")
    check(len(d.ask("documentHighlight", "^loss = mean")) == 3, "highlights")
    edits = d.ask("rename", "lat^ent: int", newName="code")["changes"][d.uri]
    renamed = apply_edits(d.text, edits)
    check(len(edits) == 3 and "latent" not in renamed and "nn.Linear(code)" in renamed, "rename", edits)
    check(d.ask("prepareRename", "^twice(times")["start"] == d.position("^twice(times"), "prepareRename")
    for place, name in [("nn.Lin^ear(hidden)", "Dense"), ("lat^ent: int", "let"), ("lat^ent: int", "2x"), ("lat^ent: int", "")]:
        check("code" in d.ask("rename", place, newName=name), f"rename {place} to {name} is refused")
    # the whole text
    outline = d.ask("documentSymbol")
    check([o["name"] for o in outline] == ["twice", "VAE"], "outline", outline)
    check([o["name"] for o in outline[1]["children"]] == ["encoder", "mu", "decoder", "encode", "step"], "outline of a model")
    hints = {h["label"] for h in d.ask("inlayHint", range={"start": {"line": 0, "character": 0}, "end": {"line": 99, "character": 0}})}
    check({": f32[B,40]", ": (mean: f32[B,5], wide: f32[B,40])", "  f32[B,5]", ": f32[]"} <= hints, "hints", hints)
    tokens = d.ask("semanticTokens/full")["data"]
    check(len(tokens) % 5 == 0 and len(tokens) > 300 and min(tokens) >= 0, "semantic tokens")
    check(all(f["endLine"] > f["startLine"] for f in d.ask("foldingRange")), "folding")
    help_ = d.ask("signatureHelp", "twice(^times: 3)")
    check(help_["signatures"][0]["label"].startswith("twice(x: f32[B, D], times: int = 2)") and help_["activeParameter"] == 1, "signature", help_)
    check(d.ask("signatureHelp", "nn.Adam(lr: ^1e-3")["signatures"][0]["parameters"][0]["label"].startswith("lr"), "signature of a module")
    check(d.ask("formatting", options={"tabSize": 2, "insertSpaces": True}) == [], "a formatted text")
    d.type("mu(h), ^wide", "   ")
    d.type("^use nn", "\n\n\n")
    edits = d.ask("formatting", options={})
    check(apply_edits(d.text, edits) == MODEL.replace("use nn", "\nuse nn"), "formatting", edits)
    check(s.close() == 0, "close")


def typing(cache):
    s = start(cache)
    d = Document(s, "file:///tmp/typed.weft", MODEL)
    d.diagnostics()
    # completion of a text that is not finished
    d.type("^minimize loss using", "w = q.\n    ")
    check({"mean", "wide"} <= set(d.labels("w = q.^")), "fields of a tuple", d.labels("w = q.^"))
    d.type("w = q.^", "mean.")
    check(d.labels("q.mean.^") == ["shape", "dtype"], "members of a tensor", d.labels("q.mean.^"))
    d.type("w = ^q.mean.", "nn.Lin", len("q.mean."))
    labels = d.labels("w = nn.Lin^")
    check("Linear" in labels and "Conv2d" in labels and "hidden" not in labels, "names of a file", labels[:9])
    d.type("w = nn.Lin^", "ear(")
    check({"out: ", "bias: ", "hidden"} <= set(d.labels("w = nn.Linear(^")), "named arguments")
    check(d.ask("signatureHelp", "w = nn.Linear(^")["activeParameter"] == 0, "signature of an open call")
    d.type("w = ^nn.Linear(", "", len("nn.Linear("))
    labels = d.labels("w = ^")
    check({"q", "z", "loss", "encoder", "VAE", "twice", "nn", "relu", "sum", "return", "f32", "step"} <= set(labels), "names in scope")
    check("h" not in labels, "a name of another function")
    items = {i["label"]: i for i in d.ask("completion", "w = ^")["items"]}
    check(items["q"]["detail"].startswith("(mean: f32[B,5]") and items["q"]["sortText"] < items["sum"]["sortText"], "details", items["q"])
    check("Not max" in items["relu"]["documentation"]["value"] or items["relu"]["documentation"]["value"], "documentation")
    d.type("w = ^", "twice(q.mean).")
    check("shape" in d.labels("twice(q.mean).^"), "members of a call's value", d.labels("twice(q.mean).^"))
    d.set("use ")
    check({"nn", "init"} <= set(d.labels("use ^")), "library files")
    d.set("use nn: Li")
    check("Linear" in d.labels("use nn: Li^"), "names of a used file", d.labels("use nn: Li^")[:5])
    d.set("fn f(x: ")
    check({"f32", "int", "fn"} <= set(d.labels("fn f(x: ^")) and "let" not in d.labels("fn f(x: ^"), "types")
    d.set("// a comm\nfn f(s: string = \"ab\") = 1.5")
    check(d.labels("// a comm^") == [] and d.labels("\"a^b\"") == [] and d.labels("= 1.5^") == [], "nothing in comments, strings, numbers")
    # functions and modules that no model reaches
    d.set("use nn\nfn f(x: float[B, D]) -> float[B] = sum(x, axis: 1)\nmodule M(n: int = 3) {\n  let a = nn.Linear(n)\n"
          "  fn call(x: f32[B, 7]) = a(x)\n}\nfn odd(x: float[...N]) = x\n")
    check(d.diagnostics() == [], "a file without a model")
    check("f32[B]" in d.hover("= su^m(") or "f32[B,D]" in d.hover("sum(^x, axis"), "a function alone", d.hover("sum(^x, axis"))
    check("a.weight: f32[3,7]" in d.hover("let ^a ="), "a module alone", d.hover("let ^a ="))
    # every prefix of a text, and the places behind it
    for cut in range(0, len(MODEL), 97):
        d.set(MODEL[:cut])
        end = {"line": MODEL.count("\n", 0, cut), "character": 999}
        for method in ("completion", "hover", "signatureHelp", "definition"):
            answer = s.ask("textDocument/" + method, {"textDocument": {"uri": d.uri}, "position": end})
            check("result" in answer, f"{method} behind {cut} bytes", answer)
    # places that do not exist
    for position in ({"line": 10**9, "character": 10**9}, {"line": -5, "character": -1}, {"line": 0, "character": 2**40}):
        check("result" in s.ask("textDocument/hover", {"textDocument": {"uri": d.uri}, "position": position}), "a place outside", position)
    d.set("")
    check(d.diagnostics() == [], "an empty text")
    check(s.close() == 0, "close")


def mistakes(cache):
    s = start(cache)
    d = Document(s, "file:///tmp/bad.weft", MODEL.replace("mu(h)", "mu(k)").replace("flatten(image))^2", "flaten(image))^2"))
    found = d.diagnostics()
    check(sorted(x["code"] for x in found) == ["E0201", "E0201"], "several diagnostics", found)
    check(all(x["source"] == "weft" for x in found), "the source", found)
    if os.path.exists(os.path.dirname(WEFT) + "/../../docs/errors"):  # a program that lies elsewhere links to installed pages
        check(found[0]["codeDescription"]["href"].endswith("/E0201.md"), "links", found)
        page = found[0]["codeDescription"]["href"][len("file://"):]
        check(open(page).read().startswith("# E0201"), "the page of the code")
    slip = [x for x in found if "flaten" in x["message"]][0]
    check(slip["range"]["start"] == d.position("z - ^flaten") and "did you mean `flatten`?" in slip["message"], "a slip", slip)
    fixes = d.ask("codeAction", range=slip["range"], context={"diagnostics": [slip]})
    fixed = apply_edits(d.text, fixes[0]["edit"]["changes"][d.uri])
    check("z - flatten(image)" in fixed, "a quick fix", fixes)
    d.set("use nn\nmodel M() {\n  fn f(x: f32[B, 4]) -> f32[B, 3] = x |> nn.Linear(3)\n}\n")
    d.diagnostics()
    here = {"start": d.position("nn.^Linear"), "end": d.position("nn.^Linear")}
    action = d.ask("codeAction", range=here, context={"diagnostics": []})[0]
    named = apply_edits(d.text, action["edit"]["changes"][d.uri])
    check("  let linear_0 = nn.Linear(3)\n" in named and "= x |> linear_0\n" in named, "an instance gets its let", named)
    # both places of a mismatch, and a mistake that the library finds
    d.set(MODEL.replace("z - flatten(image)", "z - q.wide"))
    shapes = d.diagnostics()[0]
    check(shapes["code"] == "E0301" and len(shapes["relatedInformation"]) >= 2, "related places", shapes)
    d.set("use nn\nmodel M() {\n  fn f(x: f32[B, 4]) = x |> nn.Conv2d(3, 3)\n}\n")
    inside = d.diagnostics()[0]
    check(inside["range"]["start"]["line"] == 2, "a mistake in the library's call is shown at the call", inside)
    check(d.ask("documentSymbol")[0]["name"] == "M", "a broken text has an outline")
    # what has no gradient is found behind opening and saving
    d.set("use nn\nmodel M {\n  param w: f32[3] = 1\n  train step(x: f32[B, 3]) {\n    y = x\n    loop i in 0..5 while mean(y) < 10.0 { y = y * w }\n"
          "    minimize mean(y) using nn.SGD(lr: 0.1)\n  }\n}\n")
    d.diagnostics()
    s.tell("textDocument/didSave", {"textDocument": {"uri": d.uri}})
    check([x["code"] for x in d.diagnostics()] == ["E0405"], "a gradient that does not exist")
    # columns behind characters of two UTF-16 units
    d.set("fn f(a: f32[B]) = f(\"\U0001F600\U0001F600\", nothing)\nmodel M { fn g(x: f32[B]) = x + nothing }\n")
    found = d.diagnostics()
    check(found and found[0]["range"]["start"] == d.position("x + ^nothing"), "the second line", found)
    d.set("model M { fn g(x: f32[B]) { assert false, \"\U0001F600\U0001F600 {nothing}\" } }\n")
    found = d.diagnostics()
    check([x["range"]["start"] for x in found if x["code"] == "E0201"] == [d.position("{^nothing}")], "UTF-16 columns", found)
    # warnings
    d.set("use nn\nmodel M { fn g(x: f32[B]) = x }\n")
    unused = d.diagnostics()
    check(unused and unused[0]["severity"] == 2 and unused[0]["tags"] == [1], "a warning", unused)
    check(s.close() == 0, "close")


def files(cache, folder):
    """Texts that use each other, and are not saved."""
    s = start(cache)
    os.mkdir(folder + "/sub")
    with open(folder + "/part.weft", "w") as file:
        file.write("fn scale(x: f32[B]) -> f32[B] = 2.0 * x\n")
    user = Document(s, f"file://{folder}/user.weft", "use \"sub/../part.weft\" as part\nmodel M { fn f(x: f32[B]) = part.scale(x) }\n")
    check(user.diagnostics() == [], "a used file from the disk")
    check(user.ask("definition", "part.sc^ale")["uri"] == f"file://{folder}/part.weft", "definition in a used file")
    part = Document(s, f"file://{folder}/part.weft", "fn scaled(x: f32[B]) -> f32[B] = 2.0 * x\n")
    check([x["code"] for x in user.diagnostics()] == ["E0201"], "a used file as it stands in the editor")
    check(part.diagnostics() == [], "its own diagnostics")
    part.set("fn scale(x: f32[B]) -> f32[B] = 3.0 * \n")
    check(user.diagnostics()[0]["range"]["start"] == {"line": 0, "character": 0}, "a used file that is broken")
    s.tell("textDocument/didClose", {"textDocument": {"uri": part.uri}})
    check(user.diagnostics() == [], "a used file that was closed unsaved")
    # a file that uses itself
    loop = Document(s, f"file://{folder}/loop.weft", "use \"loop.weft\" as self\n")
    found = loop.diagnostics()
    check([x["code"] for x in found] == ["E0203"], "a circle", found)
    # not of this world
    odd = Document(s, "untitled:Untitled-1", MODEL)
    check(odd.diagnostics() == [] and "f32[B,40]" in odd.hover("  ^h = image"), "a text without a file")
    check(s.close() == 0, "close")


NET = """use nn
fn twice(x: f32[B, D]) -> f32[B, D] = 2.0 * x
module Net(width: int = 4) {
  let first = nn.Linear(width)
  fn call(x: f32[B, D]) = x |> first |> twice
}
"""
USER = """use "sub/../net.weft" as net
model M {
  let a = net.Net(width: 3)
  fn f(x: f32[B, 2]) = a(x) |> net.twice
  fn g(x: f32[B, 2]) = a.first(x)
}
"""
OTHER = """use net: Net, twice
model Other {
  let twin = Net(5)
  fn f(x: f32[B, 2]) {
    width = 7.0
    return twice(twin(x) * width)
  }
}
"""


RECIPE_MODEL = """use nn
model VAE(hidden: int = 4, lr: float = 1e-3) {
  let encoder = nn.Linear(hidden)
  fn encode(x: f32[B, 3]) -> f32[B, hidden] = encoder(x)
  fn sample(hidden_size: int, n: int = 2) -> f32[n, 3] = zeros([n, 3]) + 0.0 * hidden_size
  train step(x: f32[B, 3]) { minimize mean(encode(x)^2) using nn.SGD(lr: lr) }
}
"""
RECIPE = """# sample hidden encode
model: "../vae.weft:VAE"
set: {hidden: 400, "lr": 1e-3}
data: {train: {kind: npz, file: hidden.npz}}
train: step
load: [{into: encoder.weight, file: encoder.safetensors}]
evaluate: [{fn: encode, data: train, every: 1 epoch}]
samples:
  - {fn: sample, in: {n: 64}, every: 1 epoch}
  - {fn: encode, in: {n: 3}, from: sample}
"""


def renaming_in_recipes(cache, folder):
    """Models, hyper-parameters, entries, their arguments and members have a name in recipes, too."""
    root = folder + "/recipes"
    os.makedirs(root + "/runs")
    other = RECIPE.replace("vae.weft:VAE", "other.weft:VAE")
    for path, text in (("vae.weft", RECIPE_MODEL), ("runs/a.yaml", RECIPE), ("runs/b.yml", other), ("runs/broken.yaml", "model: [")):
        with open(f"{root}/{path}", "w") as file:
            file.write(text)
    s = Server(cache)
    s.ask("initialize", {"capabilities": {}, "workspaceFolders": [{"uri": "file://" + root, "name": "r"}]})
    vae = Document(s, f"file://{root}/vae.weft", RECIPE_MODEL)
    for marked, name, wanted in (
            ("VA^E(", "Auto", RECIPE.replace(":VAE", ":Auto")),
            ("VAE(hid^den", "width", RECIPE.replace("{hidden:", "{width:")),
            ("l^r: float", "rate", RECIPE.replace('"lr"', '"rate"')),
            ("fn sam^ple", "draw", RECIPE.replace("fn: sample", "fn: draw").replace("from: sample", "from: draw")),
            ("fn enc^ode", "code", RECIPE.replace("fn: encode", "fn: code")),
            ("train st^ep", "go", RECIPE.replace("train: step", "train: go")),
            ("hidden_size: int, n^: int", "count", RECIPE.replace("{n: 64}", "{count: 64}")),
            ("let enc^oder", "body", RECIPE.replace("into: encoder", "into: body"))):
        changes = vae.ask("rename", marked, newName=name)["changes"]
        files = sorted(os.path.relpath(uri[7:], root) for uri in changes)
        check(files == ["runs/a.yaml", "vae.weft"], f"the files that know {marked}", files)
        got = apply_edits(RECIPE, changes.get(f"file://{root}/runs/a.yaml", []))
        check(got == wanted, f"{marked} in a recipe", got)
    places = vae.ask("references", "fn enc^ode", context={"includeDeclaration": False})
    check(len(places) == 3, "references in a recipe", places)
    check(s.close() == 0, "close")


def renaming(cache, folder):
    """A name and all texts that use it: open and not saved, in the folder and not open, in a folder below."""
    root = folder + "/renaming"
    os.makedirs(root + "/below")
    os.makedirs(root + "/.hidden")
    os.makedirs(root + "/sub")
    for path, text in (("net.weft", NET), ("other.weft", OTHER), ("below/deep.weft", OTHER.replace("use net: Net, twice", "use \"../net.weft\": Net, twice")),
                       ("alone.weft", "fn twice(x: f32[B]) = x\nmodule Net() { }\n"), (".hidden/h.weft", USER.replace("sub/../", "../"))):
        with open(f"{root}/{path}", "w") as file:
            file.write(text)
    s = Server(cache)
    s.ask("initialize", {"capabilities": {}, "workspaceFolders": [{"uri": "file://" + root, "name": "r"}]})
    user = Document(s, f"file://{root}/user.weft", USER)
    user.diagnostics()

    def renamed(document, marked, name):
        changes = document.ask("rename", marked, newName=name)["changes"]
        texts = {}
        for uri, edits in changes.items():
            path = uri[len("file://" + root) + 1:]
            text = USER if path == "user.weft" else open(f"{root}/{path}").read()
            texts[path] = apply_edits(text, edits)
        return texts

    deep = OTHER.replace("use net: Net, twice", "use \"../net.weft\": Net, twice")
    texts = renamed(user, "net.Ne^t(width", "Layers")
    wanted = {"net.weft": NET.replace("Net", "Layers"), "user.weft": USER.replace("net.Net", "net.Layers"),
              "other.weft": OTHER.replace("Net", "Layers"), "below/deep.weft": deep.replace("Net", "Layers")}
    check(texts == wanted, "a module, renamed where it is used", texts)
    net = Document(s, f"file://{root}/net.weft", NET)
    texts = renamed(net, "fn twi^ce(", "double")
    wanted = {"net.weft": NET.replace("twice", "double"), "user.weft": USER.replace("twice", "double"),
              "other.weft": OTHER.replace("twice", "double"), "below/deep.weft": deep.replace("twice", "double")}
    check(texts == wanted, "a fn, renamed where it is declared", texts)
    texts = renamed(net, "Net(wid^th", "size")
    check(texts == {"net.weft": NET.replace("width", "size"), "user.weft": USER.replace("width", "size")}, "a parameter by its name", texts)
    texts = renamed(net, "let fir^st", "inner")
    check(texts == {"net.weft": NET.replace("first", "inner"), "user.weft": USER.replace("first", "inner")}, "a member", texts)
    check(set(renamed(net, "twice(^x: f32[B, D]", "y")) == {"net.weft"}, "a parameter that nobody names")
    places = net.ask("references", "fn twi^ce(", context={"includeDeclaration": True})
    check(sorted(os.path.relpath(p["uri"][7:], root) for p in places)
          == ["below/deep.weft"] * 2 + ["net.weft"] * 2 + ["other.weft"] * 2 + ["user.weft"], "references", places)
    check("file" in user.ask("rename", "net.weft\" as n^et", newName="x").get("message", ""), "a file's name stays")
    check("library" in net.ask("rename", "nn.Lin^ear", newName="Dense").get("message", ""), "the library's names stay")
    check(s.close() == 0, "close")


def loads(cache):
    """Large texts, many changes, requests that are cancelled."""
    s = start(cache)
    lines = "\n".join(f"fn fun{i}(x: f32[B, {i + 1}]) -> f32[B, {i + 1}] = x * {i}.0 + f32({i})" for i in range(6000))
    d = Document(s, "file:///tmp/large.weft", lines + "\nmodel M { fn g(x: f32[B, 8]) = fun7(x) }\n")
    found = d.diagnostics()
    check(found == [], "a text of 6000 functions", found)
    check("f32[B,8]" in d.hover("= fun7(^x)"), "hover in it")
    begun = time.time()
    for i in range(200):
        d.type("^model M", "// x\n" if i % 2 else "\n")
    check(d.diagnostics() == [], "200 changes")
    check(time.time() - begun < 20, "changes are gathered")
    # A request waits behind one that takes its time; it is cancelled before its turn.
    first, second = s.last_id + 1, s.last_id + 2
    s.last_id += 2
    whole = b""
    for message in ({"id": first, "method": "textDocument/semanticTokens/full", "params": {"textDocument": {"uri": d.uri}}},
                    {"id": second, "method": "textDocument/documentSymbol", "params": {"textDocument": {"uri": d.uri}}},
                    {"method": "$/cancelRequest", "params": {"id": second}},
                    {"method": "$/cancelRequest", "params": {"id": 12345}}):
        body = json.dumps(dict(message, jsonrpc="2.0")).encode()
        whole += b"Content-Length: %d\r\n\r\n" % len(body) + body
    s.send_bytes(whole)
    check("result" in s.answer(first), "the request in front")
    check(s.answer(second)["error"]["code"] == -32800, "a cancelled request")
    # An endless model does not stop the server.
    d.set("model M { fn f(x: f32[]) -> f32[] = f(x) + f(x) }\n")
    check([x["code"] for x in d.diagnostics()] == ["E0403"], "an endless recursion")
    check(s.close() == 0, "close")


def main():
    with tempfile.TemporaryDirectory() as folder:
        folder = os.path.realpath(folder)
        for part in (life, places, typing, mistakes, loads):
            part(folder + "/cache")
        files(folder + "/cache", folder)
        renaming(folder + "/cache", folder)
        renaming_in_recipes(folder + "/cache", folder)
    sys.exit(bool(failures))


main()
