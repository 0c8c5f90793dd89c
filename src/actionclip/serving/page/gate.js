/* Without its token a server that is not on this machine gives no answers. */

import { Trouble } from "./api.js";
import { byId } from "./dom.js";

/** Ask for the token until somebody gives one. */
export function gate(wrong) {
  byId("token").value = "";
  byId("gate").returnValue = "";
  if (wrong) byId("gate-hint").textContent = "That was not it. Whoever started the server can tell you.";
  byId("gate-close").onclick = () => byId("gate").close();
  if (!byId("gate").open) byId("gate").showModal();
  return new Promise((resolve, reject) => {
    const refused = new Trouble({ what: "Without its token the server gives no answers.", code: "token" });
    byId("gate").addEventListener("close", () => {
      if (byId("gate").returnValue === "given") resolve(byId("token").value);
      else reject(refused);
    }, { once: true });
  });
}
