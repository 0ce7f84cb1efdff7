import { describe, expect, it } from "vitest";
import { statusLine, type Status } from "../src/status";

describe("the status bar", () => {
  it.each<[Status, string, string, boolean]>([
    [{ state: "starting" }, "$(loading~spin) fimble", "fimble: starting", false],
    [
      { state: "loading", enabled: true, share: 0.404, message: "reading weights" },
      "$(loading~spin) fimble 40 %",
      "fimble: reading weights, 40 %",
      false,
    ],
    [{ state: "ready", enabled: true, model: "m" }, "$(zap) fimble", "fimble: ready, with the model m", false],
    [
      { state: "ready", enabled: true, model: "m", detail: "native (avx2), int8: 3 MB, KV cache up to 6 MB" },
      "$(zap) fimble",
      "fimble: ready, with the model m\nnative (avx2), int8: 3 MB, KV cache up to 6 MB",
      false,
    ],
    [{ state: "generating", enabled: true, model: "m" }, "$(loading~spin) fimble", "fimble: writing", false],
    [{ state: "ready", enabled: false, model: "m" }, "$(circle-slash) fimble", "fimble: off; click for more", false],
    [
      { state: "error", enabled: true, message: "there is no folder" },
      "$(warning) fimble",
      "fimble: there is no folder; click to mend it",
      true,
    ],
    [{ state: "missing" }, "$(warning) fimble", "fimble: not installed; click to install it", true],
    [{ state: "failed", message: "it ended" }, "$(warning) fimble", "fimble: it ended; click to mend it", true],
    [{ state: "stopped" }, "$(circle-slash) fimble", "fimble: stopped", false],
    [{ state: "installing", message: "installing" }, "$(loading~spin) fimble", "fimble: installing", false],
  ])("%j", (status, text, tooltip, bad) => {
    expect(statusLine(status)).toEqual({ text, tooltip, bad });
  });
});
