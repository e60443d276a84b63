// How far the viewer has read: reported soon after something has come, but not
// with each message, and at once when somebody comes or goes. And marking as
// unread, which takes it back.
import { $, notice } from './page.js';
import { pause, post } from './answers.js';
import { isNear } from './view.js';

const SOON = 1000; // ms
const OFTEN = 10000; // ms between two reports while it is read on

export const startReading = (line, outbox) => {
	const list = $('messages');
	const live = () => $('live').dataset;
	const address = live().path.replace(/live$/, '');
	// Reports must not overtake each other.
	let last = Promise.resolve();
	const inTurn = (what, fields) => (last = last.then(() => post(address + what, fields)));

	let held = false; // marked as unread: nothing is read till it is left
	let reported = +live().after;
	let reportedAt = 0;
	let failures = 0;
	let timer;
	const isReading = () => !held && !document.hidden && isNear();
	let reading = isReading();
	const note = () => { live().reading = reading ? '1' : '0'; };
	const report = async () => {
		clearTimeout(timer);
		timer = undefined;
		const before = reported;
		const fields = { tab: live().tab, reading: reading ? '1' : '0' };
		if (!held) fields.upto = reported = +live().after;
		reportedAt = Date.now();
		if (leaving) return post(address + 'read', fields, { keepalive: true }); // there is no later
		const { verdict, retryAfter } = await inTurn('read', fields);
		if (verdict !== 'waits') {
			failures = 0;
			return;
		}
		// Nobody has heard it. The next report says it all again.
		reported = Math.min(reported, before);
		timer ??= setTimeout(report, pause(failures++, retryAfter));
	};
	const look = () => {
		if (reading === isReading()) return;
		// What comes from now on is new when somebody looks again.
		if (reading && !held) list.dataset.read = live().after;
		reading = !reading;
		report();
		note();
	};
	note();
	line.addEventListener('revision', () => {
		if (reading && timer === undefined && +live().after > reported) {
			timer = setTimeout(report, Math.max(SOON, reportedAt + OFTEN - Date.now()));
		}
	});
	line.addEventListener('up', () => {
		if (failures || reading && +live().after > reported) report();
	});
	document.addEventListener('visibilitychange', look);
	$('scroller').addEventListener('scroll', look, { passive: true });
	let leaving = false;
	addEventListener('pageshow', () => { leaving = false; });
	addEventListener('pagehide', () => {
		leaving = true;
		if (timer !== undefined) report();
	});
	// Who writes reads again.
	outbox.addEventListener('add', () => {
		held = false;
		look();
	});

	startMarking(async id => {
		held = true;
		clearTimeout(timer);
		timer = undefined;
		const { verdict } = await inTurn('unread', { from: id });
		if (verdict !== 'done') {
			held = false;
			look();
			notice();
			return;
		}
		reading = false;
		note();
		list.dataset.read = id - 1;
		list.dispatchEvent(new Event('hubbub:arrange'));
	});
};

// startMarking has a button at the row that the mouse is over. The keyboard and
// touch have the page that the link in the head leads to.
const startMarking = mark => {
	const list = $('messages');
	const button = document.createElement('button');
	button.type = 'button';
	button.id = 'mark-here';
	button.tabIndex = -1;
	button.hidden = true;
	button.title = list.dataset.mark;
	button.setAttribute('aria-hidden', 'true');
	list.after(button);
	let row = null;
	list.addEventListener('pointerover', event => {
		if (event.pointerType !== 'mouse') return;
		row = event.target.closest('li[id]');
		button.hidden = !row;
		if (row) button.style.top = row.offsetTop + 'px';
	});
	$('scroller').addEventListener('pointerleave', () => { button.hidden = true; });
	button.addEventListener('click', () => {
		button.hidden = true;
		mark(+row.id.slice(2));
	});
};
