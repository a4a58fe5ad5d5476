import Link from 'next/link';
import Counter from './counter';

export default function Page() {
  return (
    <main>
      <h1>Hello from Next.js</h1>
      <Counter />
      <p>
        <Link href="/about">About</Link>
      </p>
    </main>
  );
}
