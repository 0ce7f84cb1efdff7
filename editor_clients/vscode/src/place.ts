/** A cursor in a version of a document: what a completion belongs to. */
import * as vscode from "vscode";

export interface Place {
  readonly document: vscode.TextDocument;
  readonly version: number;
  readonly position: vscode.Position;
  /** The text of the pop-up's selected item, which the completion follows. */
  readonly selected: string | undefined;
}

export function placeOf(
  document: vscode.TextDocument,
  position: vscode.Position,
  context: vscode.InlineCompletionContext,
): Place {
  return { document, version: document.version, position, selected: context.selectedCompletionInfo?.text };
}

export function samePlace(one: Place, other: Place): boolean {
  return (
    one.document === other.document &&
    one.version === other.version &&
    one.position.isEqual(other.position) &&
    one.selected === other.selected
  );
}

/** Whether the user's cursor is still there. */
export function isHere(place: Place): boolean {
  const editor = vscode.window.activeTextEditor;
  return (
    editor?.document === place.document &&
    place.document.version === place.version &&
    editor.selection.isEmpty &&
    editor.selection.active.isEqual(place.position)
  );
}
