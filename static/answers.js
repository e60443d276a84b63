// What an answer means. A proxy, a portal or a sign-in page on the way may answer
// in our place, with any status and any body. Only what bears our header is an
// answer of ours; nothing else is believed, obeyed or shown.
import { notice } from './page.js';

// Statuses by which we refuse for good: the same request would be refused again.
const FINAL = new Set([400, 401, 403, 404, 409, 413, 422]);

// isOurs reports whether we have given an answer. We redirect no request of
// script: where one leads elsewhere, somebody else has led it there.
export const isOurs = answer => !answer.redirected && answer.headers.has('Hubbub');

// judge returns 'done', 'refused', or 'waits' where the request has to be made
// again, because nobody knows what has become of it.
export const judge = answer => {
	if (!isOurs(answer)) return 'waits';
	if (answer.ok) return 'done';
	return FINAL.has(answer.status) ? 'refused' : 'waits';
};

const LONGEST = 10000; // ms between two tries, unless the answer asks for more
const LONGEST_ASKED = 60000;

// pause returns how many milliseconds to wait before another try: longer after
// each failure, and as long as the last answer asks for, in seconds or by a date.
// It is spread, so that not all browsers come back in one instant.
export const pause = (failures, asked = '', random = Math.random(), now = Date.now()) => {
	const growing = Math.min(500 * 2 ** failures, LONGEST) * (0.7 + 0.6 * random);
	const wanted = /^\d+$/.test(asked) ? asked * 1000 : Date.parse(asked) - now;
	return Math.max(growing, Math.min(wanted || 0, LONGEST_ASKED));
};

// ask makes a request. It returns what has become of it, the text only where the
// answer is ours, and never fails.
export const ask = async (address, options = {}) => {
	try {
		const answer = await fetch(address, { redirect: 'manual', ...options });
		const verdict = judge(answer);
		const text = verdict === 'waits' ? '' : await answer.text();
		return { verdict, text, status: answer.status, retryAfter: answer.headers.get('Retry-After') ?? '', reached: true };
	} catch {
		return { verdict: 'waits', text: '', status: 0, retryAfter: '', reached: false };
	}
};

// post sends fields as a form does.
export const post = (address, fields, options = {}) => ask(address, {
	method: 'POST', headers: { 'HX-Request': 'true' }, body: new URLSearchParams(fields), ...options,
});

// guard holds htmx to the same rule. Of a request that did not come through, and
// of which we have said nothing, the page says so.
export const guard = () => {
	document.addEventListener('htmx:config:request', event => {
		event.detail.ctx.request.redirect = 'manual';
	});
	document.addEventListener('htmx:before:response', event => {
		const { ctx } = event.detail;
		const answer = ctx.response.raw;
		ctx.verdict = judge(answer);
		if (answer.ok && isOurs(answer)) return;
		if (isOurs(answer) && ctx.hx.retarget) {
			// Our words on a failure have a place of their own, and come whole.
			ctx.said = true;
			ctx.select = ctx.selectOOB = null;
			return;
		}
		ctx.hx = {}; // headers ask for nothing either
		event.preventDefault();
	});
	document.addEventListener('htmx:finally:request', event => {
		const { ctx } = event.detail;
		if (ctx.verdict !== 'done' && !ctx.said) notice();
	});
};
