// Stands for Microsoft's Python extension, which is only to be had from its marketplace: the selected environment is
// the one in the setting.
const { EventEmitter, Uri, workspace } = require("vscode");

exports.activate = () => {
  const changes = new EventEmitter();
  workspace.onDidChangeConfiguration((event) => {
    if (event.affectsConfiguration("python.defaultInterpreterPath")) {
      changes.fire();
    }
  });
  const selected = () => workspace.getConfiguration("python").get("defaultInterpreterPath");
  return {
    environments: {
      getActiveEnvironmentPath: () => ({ path: selected() }),
      resolveEnvironment: async ({ path }) => (path ? { executable: { uri: Uri.file(path) } } : undefined),
      onDidChangeActiveEnvironmentPath: changes.event,
    },
  };
};
