FROM scratch
COPY <<END /etc/passwd
root:x:5:6::/:
nfsnobody:x:4294967294:4294967294::/:
minus:x:-2:-3::/:
over:x:4294967301:4294967295::/:
wrong:x:many:99999999999999999999::/:
END
COPY <<END /etc/group
g:x:4294967294:
END
COPY --chown=root a.txt /n/root/
COPY --chown=nfsnobody a.txt /n/nfsnobody/
COPY --chown=minus a.txt /n/minus/
COPY --chown=over a.txt /n/over/
COPY --chown=wrong a.txt /n/wrong/
COPY --chown=7:g a.txt /n/7:g/
