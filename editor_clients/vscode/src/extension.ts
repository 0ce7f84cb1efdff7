/**
 * fimble in VS Code: this puts the parts together.
 *
 * **extension** ▶ {server ▶ client, provider, commands, statusBar}. The extension knows editors, not models: settings
 * are passed through, and what a completion is, the server says.
 */
import * as path from "node:path";
import * as vscode from "vscode";
import { SELECTOR } from "./client";
import { registerCommands } from "./commands";
import { offerInstallation } from "./offering";
import { CompletionProvider } from "./provider";
import { onSelected } from "./pythonExtension";
import { Server } from "./server";
import { serverSettings, type Manifest } from "./settings";
import { Statistics } from "./statistics";
import { showStatus } from "./statusBar";

let stop: (() => Promise<void>) | undefined;

export async function activate(context: vscode.ExtensionContext): Promise<void> {
  const storage = context.globalStorageUri.fsPath;
  const own = path.join(storage, "server");
  const log = vscode.window.createOutputChannel("fimble", { log: true });
  const server = new Server(log, own, serverSettings(context.extension.packageJSON as Manifest));
  const provider = new CompletionProvider(context.extension.id, SELECTOR, () => server.coming);
  const statistics = new Statistics(server, storage);
  stop = () => server.stop();
  context.subscriptions.push(
    log,
    server,
    provider,
    statistics,
    showStatus(server),
    registerCommands({ server, provider, statistics, log, own }),
    ...restartWhereNeeded(server),
  );
  await server.restart();
  if (server.status.state === "missing") {
    void offerInstallation(server, log, own);
  }
}

export async function deactivate(): Promise<void> {
  await stop?.();
}

/** All settings but the command go to the server that runs. */
function restartWhereNeeded(server: Server): vscode.Disposable[] {
  const listening = [
    vscode.workspace.onDidChangeConfiguration((event) => {
      if (event.affectsConfiguration("fimble.command")) {
        void server.restart();
      }
    }),
    vscode.workspace.onDidGrantWorkspaceTrust(() => {
      void server.restart();
    }),
  ];
  void onSelected(() => {
    const { found } = server;
    if (found.kind !== "found" || found.where !== "setting") {
      void server.restart();
    }
  }).then((selecting) => {
    if (selecting !== undefined) {
      listening.push(selecting);
    }
  });
  return listening;
}
