// The live side of a page: the best connection to be had, and an honest word on
// how live the page is.
import { $ } from './page.js';
import { pause } from './answers.js';
import { clockTime } from './times.js';
import { htmx } from './htmx.js';
import { look, openSocket, startSocket } from './socket.js';
import { openEvents, openHeld } from './streams.js';

const OPEN_WITHIN = 4000; // ms for a connection to show that it works
const SILENT = 40000; // ms without a sign of life, after which a connection is dead
const DOUBT = 26000; // ms after which it is in doubt at waking: the server gives a sign every 25 s
const TICK = 5000; // ms between looks at the time
const CLIMB = [5000, 300000]; // ms between looks for a better connection, at first and at most
const SPEAK_AFTER = 2000; // ms that a lost line may last unmentioned
const CONNECTING_AFTER = 400; // ms without a word on a page that has just come

// startLive returns the line, which tells of three things: 'up' when it works
// again, 'revision' when the page holds more, and its state, which is 'connecting',
// 'live', 'reconnecting' or 'offline'.
export const startLive = () => {
	const line = new EventTarget();
	const state = $('state'); // the list of channels has none
	const tab = Math.random().toString(36).slice(2);
	$('live').dataset.tab = tab;

	// What the page holds: everything up to a revision, who is here, what waits
	// elsewhere. The server sends what differs, and at once where that is asked.
	const address = atOnce => {
		const { path, after, reading } = $('live').dataset;
		const query = new URLSearchParams();
		if (after) query.set('after', after);
		if ($('here')) query.set('here', $('here').dataset.state);
		const news = $('news').dataset.state;
		query.set('news', atOnce ? news.replace(/-.*/, '-') : news);
		query.set('tab', tab);
		if (reading) query.set('reading', reading);
		return `${path}?${query}`;
	};
	// took notes what a frame has brought.
	const took = frame => {
		if (!$('messages')) return;
		const { dataset } = $('live');
		let after = +dataset.after;
		// A frame that replaces everything starts anew, even from an earlier number:
		// a backup may have been restored.
		if (frame.startsWith('<hx-partial hx-target="#messages"')) after = 0;
		for (const m of frame.matchAll(/data-revision="(\d+)"/g)) after = Math.max(after, +m[1]);
		if (after === +dataset.after) return;
		dataset.after = after;
		line.dispatchEvent(new Event('revision'));
	};
	// take puts a frame in, one after the other. A rung may be left meanwhile: what
	// it took is taken all the same.
	let taking = Promise.resolve();
	const take = frame => (taking = taking.then(async () => {
		const live = $('live');
		if (frame.trim()) await htmx.swap({ sourceElement: live, target: live.getAttribute('hx-target'), swap: live.getAttribute('hx-swap') + ' swapEmpty:false', text: frame, transition: false });
		took(frame);
	}).catch(error => console.error(error)));

	// How live the page is, in words. A short gap is not worth a word.
	let words = [];
	const speakAfter = (ms, word) => words.push(setTimeout(() => say(word()), ms));
	const quiet = () => {
		words.forEach(clearTimeout);
		words = [];
	};
	let since = new Date();
	const say = name => {
		$('live').dataset.state = line.state = name;
		if (!state) return;
		const text = state.dataset[name].replace('{time}', clockTime(since));
		state.className = name;
		if (state.textContent !== text) state.textContent = text;
	};
	// Whether the browser thinks that there is a network chooses the word and
	// nothing else: it may be wrong either way.
	const word = () => navigator.onLine ? 'reconnecting' : 'offline';
	let up = false;
	let lost = false;
	const isLost = () => {
		up = false;
		if (lost) return;
		lost = true;
		since = new Date();
		speakAfter(SPEAK_AFTER, word);
		speakAfter(10 * SPEAK_AFTER, () => 'offline');
	};

	// A sign of life is all that proves that the line works.
	let lastSign = Date.now();
	const beat = () => {
		lastSign = Date.now();
		lost = false;
		quiet();
		if (line.state !== 'live') say('live');
		if (up) return;
		up = true;
		line.dispatchEvent(new Event('up'));
	};

	// The ladder: a WebSocket, else a stream of events, else held answers. Each rung
	// that fails leads to the next, the last one back to the first.
	let failures = 0; // since a WebSocket was open
	let end = () => {}; // ends what there is of a rung, or the wait for one
	const use = rung => {
		end();
		const stopRung = rung({ address, beat, take, took, over, works, failed }, OPEN_WITHIN);
		const stopClimbing = rung === openSocket ? () => {} : climb();
		end = () => {
			stopClimbing();
			stopRung();
		};
	};
	const works = rung => {
		if (rung === openSocket) {
			failures = 0;
			climbAfter = CLIMB[0];
		}
		beat();
	};
	// failed is told by a rung that cannot go on, and whether it was just slow.
	const failed = (rung, slow) => {
		isLost();
		failures++;
		if (rung === openEvents) use(openHeld);
		else if (rung === openSocket && (slow || failures >= 2)) use(openEvents);
		else later();
	};
	const later = () => {
		end();
		const timer = setTimeout(use, pause(Math.min(failures - 1, 3)), openSocket);
		end = () => clearTimeout(timer);
	};

	// From a lower rung, look now and then whether a WebSocket can be had.
	let climbAfter = CLIMB[0];
	const climb = () => {
		let stop = () => {};
		const next = () => {
			stop(); // it has been silent all the while
			stop = look(address(), anew);
			wait();
		};
		let timer;
		const wait = () => {
			timer = setTimeout(next, climbAfter);
			climbAfter = Math.min(2 * climbAfter, CLIMB[1]);
		};
		wait();
		return () => {
			clearTimeout(timer);
			stop();
		};
	};

	// anew connects from the first rung on.
	const anew = () => {
		failures = 0;
		use(openSocket);
	};
	// suspect is for a line that may be dead although nothing says so.
	const suspect = () => {
		isLost();
		anew();
	};
	// doubt is for one that was silent for too long: the page is not live any more,
	// until there is a sign.
	const doubt = () => {
		if (line.state === 'live') say(word());
		suspect();
	};
	// A tab that wakes, or a line that is back, does not wait for its turn.
	const wake = () => {
		if (!document.hidden && (line.state !== 'live' || Date.now() - lastSign > DOUBT)) doubt();
	};
	let lastTick = Date.now();
	setInterval(() => {
		const now = Date.now();
		const slept = now - lastTick > 3 * TICK;
		lastTick = now;
		if (line.state === 'live' && now - lastSign > (slept ? DOUBT : SILENT)) doubt();
	}, TICK);
	document.addEventListener('visibilitychange', wake);
	document.addEventListener('resume', wake);
	addEventListener('online', wake);
	addEventListener('offline', suspect);
	// A page that comes back from the browser's memory has a closed connection.
	addEventListener('pageshow', event => {
		if (!event.persisted) return;
		leaving = false;
		doubt();
	});

	// The session or the channel is over. The page that comes says so; what is typed
	// is kept as a draft.
	let leaving = false;
	addEventListener('beforeunload', () => {
		leaving = true;
		setTimeout(() => { leaving = false; }, 5000); // it may come to nothing
	});
	const over = () => {
		end();
		end = () => {};
		if (!leaving) location.reload();
	};

	line.state = 'connecting';
	// suspect is for others as well: a post that gets no answer is the first sign.
	line.suspect = () => {
		if (line.state === 'live') suspect();
	};
	speakAfter(CONNECTING_AFTER, () => line.state);
	startSocket();
	use(openSocket);
	return line;
};
