/** The gateway's routes. Whatever goes wrong is a `Refusal`, but for what the caller itself aborted. */

/**
 * @typedef {{code: string, message: string, status?: number, field?: string, reason_zh?: string, approval?: string,
 *   request_id?: string}} Problem
 * @typedef {{id?: string, title?: string, licence?: string, source_url?: string, similarity?: number}} Work
 * @typedef {{blob: Blob, seed: number, model: string, note: string, nearest?: Work[]}} Picture
 */

export class Refusal extends Error {
  /** @param {Problem} problem */
  constructor(problem) {
    super(problem.message);
    this.problem = problem;
  }
}

const KEY = "danqing-key";
/** @type {(wrong: boolean) => Promise<string>} */
let askForKey = async () => "";
let asking = null;

/** `ask` gets a key from whoever sits there; "" is a no. wrong: the one we had is not known. */
export function askForKeyBy(ask) {
  askForKey = ask;
}

async function send(path, options = {}) {
  for (;;) {
    const key = sessionStorage.getItem(KEY);
    const headers = { ...options.headers, ...(key && { authorization: `Bearer ${key}` }) };
    const response = await fetch(path, { ...options, headers }).catch(unreachable);
    if (response.ok) return response;
    const problem = await response.json().catch(() => ({ code: "other", message: `${response.status}` }));
    if (response.status === 401) {
      asking ??= askForKey(Boolean(key)).finally(() => (asking = null));
      const given = await asking;
      if (given) {
        sessionStorage.setItem(KEY, given);
        continue;
      }
      sessionStorage.removeItem(KEY);
    }
    throw new Refusal({ ...problem, status: response.status });
  }
}

function unreachable(error) {
  if (error.name === "AbortError") throw error;
  throw new Refusal({ code: "unreachable", message: "" });
}

/** The painter's words by group: {elements: [{en, zh}, …], …}. */
export const styles = async () => (await send("/styles")).json();

/** Yields {step, steps, frame: Blob} for every step, at last {picture: Picture}. */
export async function* preview(order, signal) {
  const headers = { "content-type": "application/json" };
  const response = await send("/preview", { method: "POST", body: JSON.stringify(order), signal, headers });
  for await (const line of lines(response.body)) {
    const { step, steps, jpeg, picture, problem } = JSON.parse(line);
    if (problem) throw new Refusal(problem);
    if (!picture) yield { step, steps, frame: decoded(jpeg, "image/jpeg") };
    else {
      const { png, ...rest } = picture;
      yield { picture: { ...rest, blob: decoded(png, "image/png") } };
      return;
    }
  }
  throw new Refusal({ code: "unreachable", message: "" });
}

async function* lines(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read().catch(unreachable);
    if (done) return;
    const parts = (rest + value).split("\n");
    rest = parts.pop();
    yield* parts;
  }
}

/** The very bytes that the server sent: they hold the picture's origin. */
function decoded(base64, type) {
  return new Blob([Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0))], { type });
}

/** POST /edit or /restore. @returns {Promise<Picture>} */
export async function change(path, fields, signal) {
  const response = await send(path, { method: "POST", body: form(fields), signal });
  const note = response.headers.get("x-danqing-note") ?? "";
  return {
    blob: await response.blob().catch(unreachable),
    seed: Number(response.headers.get("x-danqing-seed")),
    model: response.headers.get("x-danqing-model") ?? "",
    note: note.replace(/&#(\d+);/g, (_, code) => String.fromCodePoint(Number(code))), // headers are ASCII
  };
}

/** What the file says of itself, or null where the gateway cannot tell. */
export async function inspect(/** @type {Blob} */ picture) {
  try {
    return await (await send("/inspect", { method: "POST", body: form({ picture }) })).json();
  } catch (error) {
    if (error instanceof Refusal) return null;
    throw error;
  }
}

function form(fields) {
  const data = new FormData();
  for (const [name, value] of Object.entries(fields)) {
    if (value instanceof Blob) data.append(name, value, `${name}.png`);
    else if (value !== "" && value !== null && value !== undefined) data.append(name, String(value));
  }
  return data;
}
