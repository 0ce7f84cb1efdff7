import eslint from "@eslint/js";
import tseslint from "typescript-eslint";

const NODE_TEST = ["describe", "it", "before", "after"].map((name) => ({ from: "package", package: "node:test", name }));

export default tseslint.config(
  { ignores: ["**/out/", "**/node_modules/"] },
  eslint.configs.recommended,
  {
    files: ["**/*.ts"],
    extends: [tseslint.configs.strictTypeChecked, tseslint.configs.stylisticTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: process.cwd() } },
    rules: {
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
      "@typescript-eslint/explicit-function-return-type": ["error", { allowExpressions: true }],
      "no-console": "error",
    },
  },
  {
    files: ["tests/editors/**/*.ts"],
    rules: { "@typescript-eslint/no-floating-promises": ["error", { allowForKnownSafeCalls: NODE_TEST }] },
  },
  { files: ["**/*.js"], languageOptions: { sourceType: "commonjs" } },
  { files: ["**/*.mjs"], languageOptions: { globals: { process: "readonly" } } },
);
