#!/usr/bin/env python3
"""docs/editors: what is JSON is JSON, and the words of the syntax files are those of frontend/words.def."""
import json
import os
import re
import sys

ROOT = os.environ["SOURCE_DIR"]
failures = []


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return file.read()


def compare(what, found, wanted):
    if found != wanted:
        failures.append(f"{what}: too few: {sorted(wanted - found)}, too many: {sorted(found - wanted)}")


rows = re.findall(r'^WORD\("(\w+)", (\w+)\)', read("frontend/words.def"), re.M)
words = {word for word, kind in rows if kind != "DTYPE"} | {"model", "module", "optimizer", "train"}
dtypes = {word for word, kind in rows if kind == "DTYPE"}

vim = read("docs/editors/vim/syntax/weft.vim")
found = set()
for group, names in re.findall(r"^syntax keyword (\w+) (.*)$", vim, re.M):
    if group == "weftDtype":
        compare("vim, dtypes", set(names.split()), dtypes)
    elif group != "weftTodo":
        found |= set(names.split())
for pattern in re.findall(r"^syntax match weftDeclaration /(.*)/$", vim, re.M):
    found |= set(re.findall(r"[a-z]{5,}", pattern))
compare("vim, words", found, words)
groups = set(re.findall(r"^syntax (?:keyword|match|region) (\w+)", vim, re.M))
linked = set(re.findall(r"link (\w+)", vim))
compare("vim, highlights", linked, groups - {"weftMember", "weftPoint", "weftInterpolation"})

folder = "docs/editors/vscode/"
package = json.loads(read(folder + "package.json"))
json.loads(read(folder + "language-configuration.json"))
for part in (package["main"], package["contributes"]["languages"][0]["configuration"], package["contributes"]["grammars"][0]["path"]):
    read(folder + part)
grammar = json.loads(read(folder + "syntaxes/weft.tmLanguage.json"))
found = set()
for rule in grammar["repository"]["all"]["patterns"]:
    names = set(re.findall(r"[a-z]\w+", re.sub(r"\(\?.*?\)(?=$|\W)|\\\w|\[[^]]*\]", " ", rule.get("match", ""))))
    if rule.get("name") == "storage.type.dtype.weft":
        compare("VS Code, dtypes", names, dtypes)
    elif rule.get("name", "").startswith(("keyword.declaration", "keyword.control", "keyword.operator.word", "constant.language")):
        found |= names
compare("VS Code, words", found, words)
for failure in failures:
    print("FAILED:", failure)
sys.exit(bool(failures))
