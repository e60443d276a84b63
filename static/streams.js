// The ways to be live where no WebSocket gets through: a stream of events, and
// below it answers that the server holds till there is something to say.
import { ask } from './answers.js';

const OVER = [401, 404]; // the session has ended, or there is no such room

// openEvents is the second rung: see live.js. Nobody sees the header of a stream:
// it is ours if it begins with our word.
export const openEvents = (line, within) => {
	const source = new EventSource(line.address());
	let ours = false;
	const timer = setTimeout(() => line.failed(openEvents), within);
	const on = (name, act) => source.addEventListener(name, event => {
		if (ours) act(event);
	});
	source.addEventListener('open', event => {
		if (event.data === undefined) return; // the browser's own: headers alone prove nothing
		clearTimeout(timer);
		ours = true;
		line.works(openEvents);
	});
	on('beat', line.beat);
	on('over', line.over);
	on('message', event => {
		line.beat();
		line.take(event.data);
	});
	source.addEventListener('error', () => line.failed(openEvents));
	return () => {
		source.close();
		clearTimeout(timer);
	};
};

// openHeld is the last rung. That a request waits proves nothing, for it may wait
// elsewhere: the first asks for what the server gives at once.
export const openHeld = line => {
	const control = new AbortController();
	const { signal } = control;
	(async () => {
		for (let proven = false; !signal.aborted; proven = true) {
			const answer = await ask(line.address(!proven), { headers: { Accept: 'text/html' }, signal });
			if (signal.aborted) return;
			if (answer.verdict === 'refused' && OVER.includes(answer.status)) return line.over();
			if (answer.verdict !== 'done') return line.failed(openHeld);
			line.works(openHeld);
			await line.take(answer.text);
		}
	})();
	return () => control.abort();
};
