/** Choosing a model: what the server knows, what fits, and downloading it where the user says so. */
import * as vscode from "vscode";
import { fimble } from "./commandLine";
import { choices, readModels, type Choice } from "./modelList";
import type { Server } from "./server";
import { SECTION } from "./settings";

type Pick = vscode.QuickPickItem & { readonly choice?: Choice };

const FOLDER: Pick = { label: "$(folder) A folder…", description: "a checkpoint that is on this machine" };

/** Let the user choose; the choice is the setting `fimble.model`. */
export async function chooseModel(server: Server): Promise<void> {
  const current = "model" in server.status ? server.status.model : undefined;
  const listing = fimble(server, ["models", "--json"]).then((output): Pick[] => [
    ...choices(readModels(output), current).map(pick),
    FOLDER,
  ]);
  const picked = await vscode.window.showQuickPick(listing, {
    title: "Which model completes your code?",
    placeHolder: "Models that are not on this machine are downloaded after you agree",
    matchOnDescription: true,
    matchOnDetail: true,
  });
  const model = picked?.choice === undefined ? picked && (await folder()) : await ready(server, picked.choice);
  if (model !== undefined) {
    await set(model);
  }
}

function pick(choice: Choice): Pick {
  const icon = choice.here ? "check" : choice.fits ? "cloud-download" : "circle-slash";
  return { label: `$(${icon}) ${choice.name}`, description: choice.description, detail: choice.detail, choice };
}

async function folder(): Promise<string | undefined> {
  const chosen = await vscode.window.showOpenDialog({ canSelectFolders: true, canSelectFiles: false });
  return chosen?.[0]?.fsPath;
}

/** The model's name, once it is on this machine. */
async function ready(server: Server, choice: Choice): Promise<string | undefined> {
  if (choice.here) {
    return choice.name;
  }
  const download = "Download";
  const warning = choice.fits ? "" : " It does not fit this machine.";
  const answer = await vscode.window.showInformationMessage(
    `Download ${choice.name}?${warning}`,
    { modal: true, detail: choice.detail },
    download,
  );
  return answer === download ? pull(server, choice.name) : undefined;
}

async function pull(server: Server, name: string): Promise<string | undefined> {
  const where = { location: vscode.ProgressLocation.Notification, title: `Downloading ${name}`, cancellable: true };
  return vscode.window.withProgress(where, async (_, token) => {
    const aborting = new AbortController();
    token.onCancellationRequested(() => {
      aborting.abort();
    });
    try {
      await fimble(server, ["models", "pull", name], { signal: aborting.signal });
      return name;
    } catch (error) {
      if (!aborting.signal.aborted) {
        throw error;
      }
      return undefined; // the next download goes on from there
    }
  });
}

/** Where the model is set already, there it is changed. */
async function set(model: string): Promise<void> {
  const configuration = vscode.workspace.getConfiguration(SECTION);
  const inWorkspace = configuration.inspect("model")?.workspaceValue !== undefined;
  const target = inWorkspace ? vscode.ConfigurationTarget.Workspace : vscode.ConfigurationTarget.Global;
  await configuration.update("model", model, target);
}
