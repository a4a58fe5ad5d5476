import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

// The path of the instance in path form; empty in host form and outside of Ephemera.
export default defineConfig({
  base: `${process.env.EPHEMERA_BASE_PATH ?? ''}/`,
  plugins: [react()],
});
