const DIGITS = "0123456789abcdef";

export function formatHex(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += DIGITS.charAt(byte >> 4) + DIGITS.charAt(byte & 15);
  return text;
}

/** Lower case, even length; undefined for anything else. */
export function parseHex(text: string): Uint8Array | undefined {
  if (text.length % 2 !== 0) return undefined;
  const bytes = new Uint8Array(text.length / 2);
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    const isDigit = code >= 48 && code <= 57; // 0 to 9
    const isLetter = code >= 97 && code <= 102; // a to f
    if (!isDigit && !isLetter) return undefined;
    bytes[i >> 1] = ((bytes[i >> 1] ?? 0) << 4) | (isDigit ? code - 48 : code - 87);
  }
  return bytes;
}
