/** The status bar's item, and the context keys that follow it. */
import * as vscode from "vscode";
import type { Server } from "./server";
import { isBad, statusLine, type Status } from "./status";

/** Shows how `server` is for as long as the extension is active. */
export function showStatus(server: Server): vscode.Disposable {
  const item = vscode.window.createStatusBarItem("fimble.status", vscode.StatusBarAlignment.Right, 100);
  item.name = "fimble";
  let running: boolean | undefined;

  function show(status: Status): void {
    const line = statusLine(status);
    item.text = line.text;
    item.tooltip = line.tooltip;
    item.command = isBad(status) ? "fimble.mend" : "fimble.showMenu";
    item.backgroundColor = line.bad ? new vscode.ThemeColor("statusBarItem.warningBackground") : undefined;
    item.accessibilityInformation = { label: line.tooltip };
    if (running !== (server.client !== undefined)) {
      running = server.client !== undefined;
      void vscode.commands.executeCommand("setContext", "fimble.running", running);
    }
  }

  show(server.status);
  item.show();
  return vscode.Disposable.from(item, server.onStatus(show));
}
