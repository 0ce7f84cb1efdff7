/** What of a completion that still grows is worth showing. */
import type { InlineCompletionItem } from "vscode-languageclient/node";

/**
 * The whole lines that there are so far.
 *
 * `column` is the cursor's: an item may begin before it, with what is typed already.
 */
export function wholeLines(item: InlineCompletionItem, column: number): InlineCompletionItem | undefined {
  const text = textOf(item);
  return cut(item, text.lastIndexOf("\n"), column);
}

/** All but the word that is being written: for when the user has waited long enough. */
export function wholeWords(item: InlineCompletionItem, column: number): InlineCompletionItem | undefined {
  const text = textOf(item);
  return cut(item, text.search(/[\p{L}\p{N}_$]*$/u), column);
}

/** The text that an item inserts. */
export function textOf(item: InlineCompletionItem): string {
  return typeof item.insertText === "string" ? item.insertText : item.insertText.value;
}

function cut(item: InlineCompletionItem, length: number, column: number): InlineCompletionItem | undefined {
  const text = textOf(item);
  const typed = column - (item.range?.start.character ?? column);
  // Where it takes the place of brackets behind the cursor, it brings them along, and part of it may lack them.
  const covers = (item.range?.end.character ?? column) > column;
  const shown = covers ? text : text.slice(0, Math.max(length, 0)).trimEnd();
  return length > 0 && shown.slice(typed).trim() !== "" ? { ...item, insertText: shown } : undefined;
}
