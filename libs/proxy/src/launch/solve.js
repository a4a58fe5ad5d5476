/**
 * Runs in the visitor's browser. Finds a number such that the SHA-256 of `challenge:number` starts
 * with enough zero bits, and submits the form with it. It includes its own hash, because browsers
 * offer theirs only over TLS. It works in steps, so that the page stays responsive.
 */
const form = document.querySelector('form[data-challenge]');
const { challenge, bits } = form.dataset;
const STEP = 4_000;

const K = new Uint32Array(64);
const START = new Uint32Array(8);
for (let n = 2, found = 0; found < 64; n++) {
  let isPrime = true;
  for (let d = 2; d * d <= n; d++) if (n % d === 0) isPrime = false;
  if (!isPrime) continue;
  const fraction = (root) => ((n ** root % 1) * 2 ** 32) | 0;
  if (found < 8) START[found] = fraction(1 / 2);
  K[found++] = fraction(1 / 3);
}

const w = new Int32Array(64);
const turn = (x, by) => (x >>> by) | (x << (32 - by));

function block(state, bytes, at) {
  for (let i = 0; i < 16; i++) {
    const j = at + i * 4;
    w[i] = (bytes[j] << 24) | (bytes[j + 1] << 16) | (bytes[j + 2] << 8) | bytes[j + 3];
  }
  for (let i = 16; i < 64; i++) {
    const s0 = turn(w[i - 15], 7) ^ turn(w[i - 15], 18) ^ (w[i - 15] >>> 3);
    const s1 = turn(w[i - 2], 17) ^ turn(w[i - 2], 19) ^ (w[i - 2] >>> 10);
    w[i] = (w[i - 16] + s0 + w[i - 7] + s1) | 0;
  }
  let [a, b, c, d, e, f, g, h] = state;
  for (let i = 0; i < 64; i++) {
    const s1 = turn(e, 6) ^ turn(e, 11) ^ turn(e, 25);
    const one = (h + s1 + ((e & f) ^ (~e & g)) + K[i] + w[i]) | 0;
    const s0 = turn(a, 2) ^ turn(a, 13) ^ turn(a, 22);
    const two = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    h = g;
    g = f;
    f = e;
    e = (d + one) | 0;
    d = c;
    c = b;
    b = a;
    a = (one + two) | 0;
  }
  const sums = [a, b, c, d, e, f, g, h];
  for (let i = 0; i < 8; i++) state[i] = state[i] + sums[i];
}

/** Returns the first 32 bits of a SHA-256. No challenge needs more zero bits. */
function sha256(text) {
  const length = Math.ceil((text.length + 9) / 64) * 64;
  const bytes = new Uint8Array(length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  bytes[text.length] = 0x80;
  new DataView(bytes.buffer).setUint32(length - 4, text.length * 8);
  const state = Uint32Array.from(START);
  for (let at = 0; at < length; at += 64) block(state, bytes, at);
  return state[0];
}

let number = 0;
function work() {
  for (const end = number + STEP; number < end; number++) {
    if (Math.clz32(sha256(`${challenge}:${number}`)) >= Number(bits)) {
      const target = new URL(form.action);
      target.searchParams.set('work', `${challenge}:${number}`);
      form.action = target.href;
      form.submit();
      return;
    }
  }
  setTimeout(work);
}
work();
