/** How fimble is, and how the status bar says it. */

/** What the server tells in `fimble/status`. */
export interface ServerStatus {
  readonly state: "loading" | "ready" | "generating" | "error";
  readonly enabled: boolean;
  readonly model?: string;
  readonly share?: number;
  readonly message?: string;
  /** What computes the model, and the memory that it takes. */
  readonly detail?: string;
}

export type Status =
  | { readonly state: "starting" | "missing" | "stopped" }
  | { readonly state: "installing" | "failed"; readonly message: string }
  | ServerStatus;

export interface StatusLine {
  readonly text: string;
  readonly tooltip: string;
  readonly bad: boolean;
}

/** Whether something is wrong that the user can mend. */
export function isBad(status: Status): boolean {
  return status.state === "missing" || status.state === "failed" || status.state === "error";
}

/** What the status bar shows; all icons are as wide as each other, so that nothing moves while one types. */
export function statusLine(status: Status): StatusLine {
  const [icon, words, tooltip] = facts(status);
  return { text: `$(${icon}) fimble${words}`, tooltip: `fimble: ${tooltip}`, bad: isBad(status) };
}

function facts(status: Status): [icon: string, words: string, tooltip: string] {
  switch (status.state) {
    case "starting":
      return ["loading~spin", "", "starting"];
    case "missing":
      return ["warning", "", "not installed; click to install it"];
    case "stopped":
      return ["circle-slash", "", "stopped"];
    case "installing":
      return ["loading~spin", "", status.message];
    case "failed":
      return ["warning", "", `${status.message}; click to mend it`];
    case "error":
      return ["warning", "", `${status.message ?? "the model can't be used"}; click to mend it`];
    case "loading":
      return loading(status);
    default:
      return running(status);
  }
}

function loading(status: ServerStatus): [string, string, string] {
  const percentage = `${Math.round(100 * (status.share ?? 0))} %`;
  return ["loading~spin", ` ${percentage}`, `${status.message ?? "loading the model"}, ${percentage}`];
}

function running(status: ServerStatus): [string, string, string] {
  if (!status.enabled) {
    return ["circle-slash", "", "off; click for more"];
  }
  const model = status.model === undefined ? "ready" : `ready, with the model ${status.model}`;
  const detail = status.detail === undefined ? "" : `\n${status.detail}`;
  return status.state === "generating" ? ["loading~spin", "", "writing"] : ["zap", "", model + detail];
}
