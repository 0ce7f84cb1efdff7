/** The page of `fimble stats --html`, shown among the code. */
import * as fs from "node:fs/promises";
import * as path from "node:path";
import * as vscode from "vscode";
import { fimble } from "./commandLine";
import type { Server } from "./server";

const POLICY =
  `<meta http-equiv="Content-Security-Policy" ` +
  `content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">`;

export class Statistics implements vscode.Disposable {
  private panel: vscode.WebviewPanel | undefined;

  /** `folder` is where the page is written. */
  constructor(
    private readonly server: Server,
    private readonly folder: string,
  ) {}

  /** Show the page as it is now. */
  async show(): Promise<void> {
    await fs.mkdir(this.folder, { recursive: true });
    const file = path.join(this.folder, "statistics.html");
    await fs.rm(file, { force: true });
    const output = await fimble(this.server, ["stats", "--html", file]);
    const page = await fs.readFile(file, "utf8").catch(() => undefined);
    if (page === undefined) {
      void vscode.window.showInformationMessage(output.trim()); // nothing was counted yet
      return;
    }
    const panel = (this.panel ??= this.open());
    panel.webview.html = inTheme(page.replace("<head>", `<head>${POLICY}`));
    panel.reveal();
  }

  dispose(): void {
    this.panel?.dispose();
  }

  private open(): vscode.WebviewPanel {
    const options = { enableScripts: false, localResourceRoots: [] };
    const { Active } = vscode.ViewColumn;
    const panel = vscode.window.createWebviewPanel("fimble.statistics", "fimble statistics", Active, options);
    panel.onDidDispose(() => {
      this.panel = undefined;
    });
    return panel;
  }
}

/** The page is dark where the editor is, whatever the system is. */
function inTheme(page: string): string {
  const { Dark, HighContrast } = vscode.ColorThemeKind;
  const dark = [Dark, HighContrast].includes(vscode.window.activeColorTheme.kind);
  return page
    .replaceAll("(prefers-color-scheme: dark)", dark ? "all" : "not all")
    .replace("color-scheme: light dark", `color-scheme: ${dark ? "dark" : "light"}`);
}
