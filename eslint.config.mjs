import tseslint from 'typescript-eslint';

const environment = {
  selector: "MemberExpression[object.name='process'][property.name='env']",
  message: "Only an app's config.ts reads the environment.",
};
const keys = [/^\}:/, /^\{\w*\}:/].map((pattern) => ({
  selector: `:matches(TemplateElement[value.raw=${pattern}], Literal[value=${pattern}])`,
  message: 'Redis keys are named in libs/store alone.',
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
          message: 'Of a Host that is no URL’s it has no query: read ctx.querystring.',
        },
      ],
      'no-restricted-syntax': ['error', environment, ...keys],
    },
  },
  {
    // The tests' own deployment hands its environment on to the processes that it starts.
    files: ['apps/*/src/config.ts', 'tests/*/src/config.ts', 'tests/support/src/deployment.ts'],
    rules: { 'no-restricted-syntax': ['error', ...keys] },
  },
  {
    // The command line: what it prints is what it is for.
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
    // Ports and what stands in for them are objects of closures, taken apart freely in tests.
    rules: { '@typescript-eslint/unbound-method': 'off' },
  },
);
