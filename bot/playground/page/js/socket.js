/** The page's one WebSocket: numbered requests with their answers, and a reconnect with growing delay. */

import { Disconnected, NoAnswer, Refused } from "./refusals.js";

const FIRST_DELAY = 500;
const LONGEST_DELAY = 15_000;
const ANSWERS = new Set(["ok", "choices", "modal", "error", "failed", "older"]);

export class Socket {
  #socket = null;
  #waiting = new Map();
  #number = 0;
  #failures = 0;
  #timer = 0;

  /** `onFrame` gets every frame that answers nothing; `onState` gets "open", {retryAt} or "refused". */
  constructor(url, { onFrame, onState }) {
    this.url = url;
    this.onFrame = onFrame;
    this.onState = onState;
  }

  connect() {
    clearTimeout(this.#timer);
    const socket = new WebSocket(this.url);
    this.#socket = socket;
    socket.addEventListener("open", () => {
      this.#failures = 0;
      this.onState("open");
    });
    socket.addEventListener("message", (event) => this.#receive(JSON.parse(event.data)));
    socket.addEventListener("close", () => {
      if (this.#socket === socket) this.#retryLater();
    });
  }

  get connected() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  /** Sends a frame and resolves with its answer; rejects with Refused, NoAnswer or Disconnected. */
  request(op, fields = {}) {
    if (!this.connected) return Promise.reject(new Disconnected());
    this.#number += 1;
    const n = this.#number;
    return new Promise((resolve, reject) => {
      this.#waiting.set(n, { resolve, reject });
      this.#socket.send(JSON.stringify({ op, n, ...fields }));
    });
  }

  #receive(frame) {
    const waiting = frame.n === undefined ? undefined : this.#waiting.get(frame.n);
    if (waiting) {
      this.#waiting.delete(frame.n);
      if (frame.op === "error") waiting.reject(new Refused(frame));
      else if (frame.op === "failed") waiting.reject(new NoAnswer(frame));
      else waiting.resolve(frame);
    }
    // An answer to nothing is news: a reply that was promised and never came.
    if (!ANSWERS.has(frame.op) || (frame.op === "failed" && !waiting)) this.onFrame(frame);
  }

  #retryLater() {
    for (const { reject } of this.#waiting.values()) reject(new Disconnected());
    this.#waiting.clear();
    const delay = Math.min(FIRST_DELAY * 2 ** this.#failures, LONGEST_DELAY);
    this.#failures += 1;
    this.onState({ retryAt: Date.now() + delay, failures: this.#failures });
    this.#timer = setTimeout(() => this.#checkedConnect(), delay);
  }

  /** A refused key closes the socket without a reason, so from the third failure on the page asks over HTTP. */
  async #checkedConnect() {
    if (this.#failures >= 3) {
      const status = await fetch("/", { cache: "no-store" }).then(
        (response) => response.status,
        () => 0,
      );
      if (status === 403) {
        this.onState("refused");
        return;
      }
    }
    this.connect();
  }
}
