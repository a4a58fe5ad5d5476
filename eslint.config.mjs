import tseslint from 'typescript-eslint';

const environment = {
  selector: "MemberExpression[object.name='process'][property.name='env']",
  message: "Only an app's config.ts reads the environment.",
};
const keys = [/^\}:/, /^\{\w*\}:/].map((pattern) => ({
  selector: `:matches(TemplateElement[value.raw=${pattern}], Literal[value=${pattern}])`,
  message: 'Only libs/store builds Redis keys.',
}));

export default tseslint.config(
  {
    ignores: [
      '**/node_modules',
      '.nx',
      '.ephemera',
      '**/test-results',
      '**/bench-results',
      'coverage',
      // Generated.
      'libs/client/src/api-types.ts',
    ],
  },
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked, tseslint.configs.stylisticTypeChecked],
    languageOptions: {
      parserOptions: { project: './tsconfig.json', tsconfigRootDir: import.meta.dirname },
    },
    rules: {
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowBoolean: true },
      ],
      '@typescript-eslint/consistent-type-definitions': 'off',
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      '@typescript-eslint/no-unused-vars': [
        'error',
        { varsIgnorePattern: '^_', argsIgnorePattern: '^_' },
      ],
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { considerDefaultExhaustiveForUnions: true },
      ],
      '@typescript-eslint/consistent-type-imports': 'error',
      eqeqeq: 'error',
      'no-console': 'error',
      'no-restricted-properties': [
        'error',
        {
          object: 'ctx',
          property: 'URL',
          message: 'For an invalid Host, ctx.URL has no query. Read ctx.querystring.',
        },
      ],
      'no-restricted-syntax': ['error', environment, ...keys],
    },
  },
  {
    // The test deployment passes its environment on to the processes that it starts.
    files: ['apps/*/src/config.ts', 'tests/*/src/config.ts', 'tests/support/src/deployment.ts'],
    rules: { 'no-restricted-syntax': ['error', ...keys] },
  },
  {
    // The command line prints its results.
    files: ['apps/cli/src/**/*.ts'],
    rules: { 'no-console': 'off' },
  },
  {
    files: ['libs/store/src/**/*.ts'],
    rules: { 'no-restricted-syntax': ['error', environment] },
  },
  {
    files: ['**/*.test.ts', '**/test/**/*.ts'],
    rules: { 'no-restricted-syntax': 'off', 'no-console': 'off' },
  },
  {
    files: ['**/*.test.ts', '**/test/**/*.ts', 'tests/**/*.ts'],
    // Ports and their test doubles are plain objects, so tests may destructure their methods.
    rules: { '@typescript-eslint/unbound-method': 'off' },
  },
);
