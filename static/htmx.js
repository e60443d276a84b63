// htmx, with the two extensions that pages need: ws receives what the server
// pushes, upsert puts rows in by their ids. Both look for htmx in the window, so
// they come after it.
import htmx from './vendor/htmx-4.0.1.esm.min.js';
import './vendor/hx-ws-4.0.1.min.js';
import './vendor/hx-upsert-4.0.1.min.js';

export { htmx };

// htmx takes the page over by a timer of its own. It has to wait till everything
// listens: it would open a connection that nobody watches.
let ready = false;
document.addEventListener('htmx:before:process', event => {
	if (!ready) event.preventDefault();
});

// takeOver has htmx make the page's forms, links and connection its own.
export const takeOver = () => {
	ready = true;
	htmx.process(document.body);
};
