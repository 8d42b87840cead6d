// The camera of a page that answers: #video in #frame, the button #camera, and the choice #cameras in #which.

import { Camera } from "./camera.js";

export class LiveCamera extends Camera {
  #words;
  #stopped;

  // `words` are {start, stop, number}, what the button says and a function of n that names a camera without a name;
  // `stopped` is called after it went off or could not be had, with true where it went away by itself
  constructor(words, stopped) {
    super(document.getElementById("video"), () => this.#show(false, true));
    this.#words = words;
    this.#stopped = stopped;
  }

  // As `start`, and shows that it is on
  async open(device) {
    try {
      if (!(await this.start(device))) return false;
    } catch (error) {
      this.#show(false);
      throw error;
    }
    this.#show(true);
    const choice = document.getElementById("cameras");
    document.getElementById("which").hidden = !(await this.list(choice, this.#words.number));
    return true;
  }

  // Stops it where it is on
  close() {
    if (!this.on) return;
    this.stop();
    this.#show(false);
  }

  #show(on, gone = false) {
    document.getElementById("frame").classList.toggle("mirrored", on && this.mirrored);
    document.getElementById("camera").textContent = on ? this.#words.stop : this.#words.start;
    if (on) return;
    document.getElementById("which").hidden = true;
    Object.assign(document.body.dataset, { source: "", state: "ready" });
    this.#stopped(gone);
  }
}
