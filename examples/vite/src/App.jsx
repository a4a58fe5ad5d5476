import { useState } from 'react';
import './App.css';

export default function App() {
  const [count, setCount] = useState(0);
  return (
    <main>
      <h1>Hello from Vite</h1>
      <button onClick={() => setCount(count + 1)}>Count {count}</button>
    </main>
  );
}
