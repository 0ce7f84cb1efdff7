/** The settings that the server gets: those that the user has set, less those that are the extension's own. */
import * as vscode from "vscode";

export const SECTION = "fimble";
const OWN = ["command", "installArguments"];

/** What `package.json` declares; the server's part of it is generated from the server. */
export interface Manifest {
  readonly contributes: { readonly configuration: { readonly properties: Readonly<Record<string, unknown>> } };
}

/** Names of the server's settings. */
export function serverSettings(manifest: Manifest): string[] {
  const names = Object.keys(manifest.contributes.configuration.properties);
  return names.map((name) => name.slice(SECTION.length + 1)).filter((name) => !OWN.includes(name));
}

/**
 * What the user has set of them.
 *
 * Defaults are left out, so that those of the server hold, and those of its command line.
 */
export function chosenSettings(names: readonly string[]): Record<string, unknown> {
  const configuration = vscode.workspace.getConfiguration(SECTION);
  const chosen: Record<string, unknown> = {};
  for (const name of names) {
    const { globalValue, workspaceValue, workspaceFolderValue } = configuration.inspect(name) ?? {};
    if (globalValue !== undefined || workspaceValue !== undefined || workspaceFolderValue !== undefined) {
      chosen[name] = configuration.get(name);
    }
  }
  return chosen;
}
