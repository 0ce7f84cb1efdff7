/** What a user can have fimble do. */
import * as vscode from "vscode";
import { chooseModel } from "./models";
import { installOnRequest, offerInstallation } from "./offering";
import type { CompletionProvider } from "./provider";
import type { Server } from "./server";
import { SECTION } from "./settings";
import type { Statistics } from "./statistics";

export interface Parts {
  readonly server: Server;
  readonly provider: CompletionProvider;
  readonly statistics: Statistics;
  readonly log: vscode.LogOutputChannel;
  /** Where the server would be installed. */
  readonly own: string;
}

const EXAMPLE = "def mean(values):\n    return sum(values) / len(values)\n\n\ndef median(values):\n    ";

export function registerCommands(parts: Parts): vscode.Disposable {
  const { server, provider, statistics, log, own } = parts;
  const commands: Record<string, () => unknown> = {
    toggleCompletions: () => toggle(parts),
    chooseModel: () => chooseModel(server),
    restart: () => server.restart(),
    install: () => installOnRequest(server, log, own),
    showLog: () => {
      log.show();
    },
    showStatistics: () => statistics.show(),
    showMenu: () => showMenu(parts),
    mend: () => mend(parts),
    dismiss: () => provider.dismiss(),
    tryIt,
  };
  const registered = Object.entries(commands).map(([name, run]) =>
    vscode.commands.registerCommand(`${SECTION}.${name}`, async () => {
      try {
        await run();
      } catch (error) {
        void vscode.window.showErrorMessage(`fimble: ${error instanceof Error ? error.message : String(error)}`);
      }
    }),
  );
  return vscode.Disposable.from(...registered);
}

async function toggle({ server, provider }: Parts): Promise<void> {
  provider.end();
  if (server.client === undefined) {
    await server.restart();
  } else {
    await vscode.commands.executeCommand("fimble.toggle"); // the server's own command
  }
}

async function tryIt(): Promise<void> {
  const document = await vscode.workspace.openTextDocument({ language: "python", content: EXAMPLE });
  const editor = await vscode.window.showTextDocument(document);
  const end = document.positionAt(EXAMPLE.length);
  editor.selection = new vscode.Selection(end, end);
  await vscode.commands.executeCommand("editor.action.inlineSuggest.trigger");
}

interface Entry extends vscode.QuickPickItem {
  readonly command: string;
}

const ENTRIES: readonly Entry[] = [
  { label: "$(circle-slash) Turn completions on or off", command: "fimble.toggleCompletions" },
  { label: "$(list-selection) Choose a model…", command: "fimble.chooseModel" },
  { label: "$(graph) Statistics", command: "fimble.showStatistics" },
  { label: "$(output) Log", command: "fimble.showLog" },
  { label: "$(refresh) Restart the server", command: "fimble.restart" },
];

async function showMenu({ server }: Parts): Promise<void> {
  const model = "model" in server.status ? server.status.model : undefined;
  const title = model === undefined ? "fimble" : `fimble, with the model ${model}`;
  const entry = await vscode.window.showQuickPick(ENTRIES, { title });
  if (entry !== undefined) {
    await vscode.commands.executeCommand(entry.command);
  }
}

/** What helps against what is wrong, for the user to choose. */
async function mend({ server, log, own }: Parts): Promise<void> {
  const { status } = server;
  if (status.state === "missing") {
    await offerInstallation(server, log, own);
    return;
  }
  const message = "message" in status ? (status.message ?? "") : "";
  const remedies: Record<string, () => unknown> = {
    "Restart": () => server.restart(),
    ...(status.state === "error" && { "Choose Model": () => chooseModel(server) }),
    "Open Settings": () => vscode.commands.executeCommand("workbench.action.openSettings", `@ext:fimble.fimble`),
    "Show Log": () => {
      log.show();
    },
  };
  const chosen = await vscode.window.showWarningMessage(`fimble: ${message}`, ...Object.keys(remedies));
  await remedies[chosen ?? ""]?.();
}
