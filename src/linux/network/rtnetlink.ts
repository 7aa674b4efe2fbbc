/** Words of rtnetlink(7) that several of its users have (linux/rtnetlink.h, if_link.h, if_addr.h). */

export const RTM_NEWLINK = 16;
/** struct ifinfomsg */
export const LINK_SIZE = 16;
export const IFLA_IFNAME = 3;
export const IFLA_LINKINFO = 18;
export const IFLA_INFO_KIND = 1;
export const IFLA_NET_NS_FD = 28;
export const IFA_ADDRESS = 1;
export const IFA_LOCAL = 2;
export const IFA_FLAGS = 8;
export const IFA_F_NODAD = 0x02;
export const IFA_F_PERMANENT = 0x80;
export const RTA_DST = 1;
export const RTA_OIF = 4;
export const RTA_GATEWAY = 5;
