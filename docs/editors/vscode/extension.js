// The client: it starts `weft lsp` and hands it the editor's events. All that is known of a text comes from there.
const { workspace } = require("vscode");
const { LanguageClient } = require("vscode-languageclient/node");

let client;

function activate() {
  const settings = workspace.getConfiguration("weft");
  const server = { command: settings.get("path"), args: ["lsp", ...settings.get("arguments")] };
  client = new LanguageClient("weft", "Weft", server, {
    documentSelector: [{ language: "weft" }],
    synchronize: { fileEvents: workspace.createFileSystemWatcher("**/*.weft") },
  });
  return client.start();
}

function deactivate() {
  return client && client.stop();
}

module.exports = { activate, deactivate };
