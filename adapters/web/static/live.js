// A run under way: the server draws how it stands, and this puts it into the page as it comes.

const AGAIN_AFTER_MS = 2000;

const live = document.querySelector("[data-live]");
const connection = document.getElementById("connection");

function follow() {
  const stream = new EventSource(live.dataset.live);
  stream.addEventListener("open", () => { connection.textContent = ""; });
  stream.addEventListener("stands", (event) => { live.innerHTML = event.data; });
  stream.addEventListener("ended", () => {
    stream.close();
    location.replace(location.pathname);
  });
  stream.addEventListener("error", () => {
    connection.textContent = "The service does not answer at this moment; this goes on by itself once it does.";
    // A browser gives up on an answer that is no stream, such as a proxy's while the service starts anew.
    if (stream.readyState === EventSource.CLOSED) setTimeout(follow, AGAIN_AFTER_MS);
  });
  addEventListener("pagehide", () => stream.close(), { once: true });
}

if (live) follow();
