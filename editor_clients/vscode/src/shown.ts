/**
 * What became of the completions on the screen.
 *
 * VS Code tells extensions only of those that are accepted whole, by running their command. Words and lines that
 * are accepted are seen in the document: text comes in at the cursor, more than a key gives, and it is what was shown.
 */
import type { InlineCompletionItem } from "vscode-languageclient/node";
import { textOf } from "./worth";

export interface Insertion {
  readonly uri: string;
  readonly line: number;
  readonly column: number;
  readonly text: string;
}

const ONE_KEY = /^(.|\(\)|\[\]|\{\}|""|''|``)$/su; // also where the editor closes what was opened

/** Follows one completion from key to key. */
export class Shown {
  private left: { readonly item: InlineCompletionItem; readonly from: number }[] = [];
  private uri = "";
  private line = 0;
  private column = 0;

  /** `items` are on the screen, the first of them visible, with the cursor at `line` and `column`. */
  show(uri: string, line: number, column: number, items: readonly InlineCompletionItem[]): void {
    this.uri = uri;
    this.line = line;
    this.column = column;
    this.left = items.map((item) => ({ item, from: column - (item.range?.start.character ?? column) }));
  }

  /** The document has changed: which item was accepted up to where, in UTF-16 units, if that is what it was. */
  insert({ uri, line, column, text }: Insertion): { item: InlineCompletionItem; length: number } | undefined {
    const inserted = text.replaceAll("\r\n", "\n");
    const here = uri === this.uri && line === this.line && column === this.column && inserted !== "";
    const agreeing = here ? this.left.filter(({ item, from }) => textOf(item).startsWith(inserted, from)) : [];
    this.left = agreeing.map(({ item, from }) => ({ item, from: from + inserted.length }));
    const lines = inserted.split("\n");
    this.line += lines.length - 1;
    this.column = (lines.length > 1 ? 0 : this.column) + (lines.at(-1) ?? "").length;
    const [first] = this.left;
    if (first === undefined || ONE_KEY.test(inserted) || first.from >= textOf(first.item).length) {
      return undefined;
    }
    return { item: first.item, length: first.from };
  }
}
