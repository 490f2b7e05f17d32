// Money in whole pico-dollars (10⁻¹² USD), as BigInt: sums are exact, and no float holds one.

const DIGITS = 12;
const ONE = 10n ** BigInt(DIGITS);

/** Reads a decimal, with or without an exponent; `null` where it is none. */
export function parse(text) {
  const match = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d{1,3}))?$/.exec(String(text).trim());
  if (!match) return null;
  const [, sign, whole, fraction = '', exponent = '0'] = match;
  const shift = DIGITS - fraction.length + Number(exponent);
  const digits = BigInt(whole + fraction);
  // what is finer than a pico-dollar is rounded half up, as the gateway does
  const pico = shift >= 0 ? digits * 10n ** BigInt(shift) : divide(digits, 10n ** BigInt(-shift));
  return sign ? -pico : pico;
}

/** Every digit, no exponent: `0.00001234`. */
export function exact(pico) {
  const [sign, size] = split(pico);
  const fraction = (size % ONE).toString().padStart(DIGITS, '0').replace(/0+$/, '');
  return `${sign}${size / ONE}${fraction && `.${fraction}`}`;
}

/** For a headline: cents where they say something, else up to six decimals, rounded half up. */
export function short(pico) {
  const [sign, size] = split(pico);
  const decimals = size >= 100n * ONE || size === 0n ? 2 : size >= ONE ? 4 : 6;
  const unit = 10n ** BigInt(DIGITS - decimals);
  const rounded = divide(size, unit);
  if (rounded === 0n) return size === 0n ? '$0.00' : `${sign}<$0.000001`;
  const scale = 10n ** BigInt(decimals);
  const whole = (rounded / scale).toString().replace(/\B(?=(\d{3})+$)/g, ',');
  return `${sign}$${whole}.${(rounded % scale).toString().padStart(decimals, '0')}`;
}

/** What part of `whole` it is, 0 to 1, for bars and percentages. */
export function share(part, whole) {
  return whole === 0n ? 0 : Number((part * 1_000_000n) / whole) / 1_000_000;
}

export function sum(amounts) {
  return amounts.reduce((total, amount) => total + amount, 0n);
}

function split(pico) {
  return pico < 0n ? ['−', -pico] : ['', pico];
}

function divide(amount, by) {
  return (amount + by / 2n) / by;
}
