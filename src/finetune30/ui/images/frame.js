// Before Streamlit's own scripts: says where the server is, which they would otherwise find out by asking for what is
// not there; and tells calmly when the connection is lost, instead of a dialog about another program.
window.__streamlit = { BACKEND_BASE_URL: window.location.origin + "/", HOST_CONFIG: { blockErrorDialogs: true } };

(() => {
  const PATIENCE_MS = 1500;
  let bar = null;
  let timer = null;

  const tell = () => {
    bar = bar ?? document.createElement("div");
    bar.id = "finetune30-lost";
    bar.setAttribute("role", "status");
    bar.textContent = document.querySelector('meta[name="finetune30-lost"]').content;
    Object.assign(bar.style, {
      position: "fixed", left: "50%", bottom: "1.25rem", transform: "translateX(-50%)", zIndex: "1000000",
      width: "max-content", maxWidth: "calc(100vw - 2rem)", boxSizing: "border-box", padding: ".75rem 1.1rem",
      borderRadius: ".6rem", background: "#16242d", color: "#ffffff", border: "1px solid #4fb3d9",
      font: "0.95rem/1.5 system-ui, sans-serif", boxShadow: "0 6px 24px rgb(0 0 0 / .35)",
    });
    document.body.append(bar);
  };

  window.WebSocket = class extends window.WebSocket {
    constructor(...given) {
      super(...given);
      this.addEventListener("open", () => { clearTimeout(timer); timer = null; bar?.remove(); });
      this.addEventListener("close", () => { timer = timer ?? setTimeout(tell, PATIENCE_MS); });
    }
  };
  window.addEventListener("pagehide", () => clearTimeout(timer));
})();
