/** The offer to install fimble, where there is none. */
import * as vscode from "vscode";
import { install, InstallationFailed, namedInterpreters } from "./installing";
import { selectedPython } from "./pythonExtension";
import type { Server } from "./server";
import { SECTION } from "./settings";

const INSTALL = "Install";
const INSTALL_FOR_CPU = "Install for the CPU Only";
const SETTING = "I Have It Already…";

/** On Linux, pip's PyTorch brings CUDA along, which is gigabytes; here are builds without it. */
const CPU_BUILDS = ["--extra-index-url", "https://download.pytorch.org/whl/cpu"];

/** Offers it; `folder` is where it would go. */
export async function offerInstallation(server: Server, log: vscode.LogOutputChannel, folder: string): Promise<void> {
  const linux = process.platform === "linux";
  const size = linux ? "gigabytes, hundreds of megabytes for the CPU only" : "hundreds of megabytes";
  const answer = await vscode.window.showInformationMessage(
    `fimble is not installed. Install it into a folder of this extension's own? With PyTorch, pip downloads ${size}.`,
    ...(linux ? [INSTALL, INSTALL_FOR_CPU] : [INSTALL]),
    SETTING,
  );
  if (answer === INSTALL || answer === INSTALL_FOR_CPU) {
    await installWithProgress(server, log, folder, answer === INSTALL ? [] : CPU_BUILDS);
  } else if (answer === SETTING) {
    await vscode.commands.executeCommand("workbench.action.openSettings", "fimble.command");
  }
}

/** Asks, as for a command that somebody ran, then installs or updates. */
export async function installOnRequest(server: Server, log: vscode.LogOutputChannel, folder: string): Promise<void> {
  const detail = `pip install ${installArguments().join(" ")}\n\ninto ${folder}`;
  const question = { modal: true, detail };
  if ((await vscode.window.showInformationMessage("Install or update fimble?", question, INSTALL)) === INSTALL) {
    await installWithProgress(server, log, folder);
  }
}

async function installWithProgress(
  server: Server,
  log: vscode.LogOutputChannel,
  folder: string,
  more: readonly string[] = [],
): Promise<void> {
  const where = { location: vscode.ProgressLocation.Notification, title: "Installing fimble", cancellable: true };
  try {
    await vscode.window.withProgress(where, async (progress, token) => {
      const aborting = new AbortController();
      token.onCancellationRequested(() => {
        aborting.abort();
      });
      const python = await selectedPython();
      const windows = process.platform === "win32";
      const named = namedInterpreters(windows);
      await server.exchange("installing", () =>
        install({
          folder,
          arguments: [...more, ...installArguments()],
          interpreters: python === undefined ? named : [[python], ...named],
          windows,
          signal: aborting.signal,
          line: (line) => {
            log.info(line);
            progress.report({ message: line.length > 80 ? `${line.slice(0, 79)}…` : line });
          },
        }),
      );
    });
  } catch (error) {
    await tellFailure(error, log);
  }
}

async function tellFailure(error: unknown, log: vscode.LogOutputChannel): Promise<void> {
  if (error instanceof Error && error.name === "AbortError") {
    return;
  }
  const message = error instanceof InstallationFailed ? error.message : String(error);
  log.error(message);
  if ((await vscode.window.showErrorMessage(`fimble is not installed: ${message}`, "Show Log")) !== undefined) {
    log.show();
  }
}

function installArguments(): string[] {
  return vscode.workspace.getConfiguration(SECTION).get<string[]>("installArguments") ?? [];
}
